import hashlib
import json
import sys

import pytest
import yaml

from experiments.data.raw import fingerprint, obtain
from experiments.data.schema import DataError

CONTENT = b"time,price\n1,2\n"
PACKAGE = "package_with_data"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The file ``prices.csv`` in a package that can be found but was never imported."""
    folder = tmp_path / "site" / PACKAGE / "data"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text(
        "raise RuntimeError('nobody needs to import me')", encoding="utf-8"
    )
    (folder / "prices.csv").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder / "prices.csv"


def obtain_prices(tmp_path, package=PACKAGE):
    expected = {"bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest()}
    entry = {"package": package, "folder": "data", "files": {"prices.csv": expected}}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"prices": entry}), encoding="utf-8")
    return obtain("prices", tmp_path / "sources.yaml", tmp_path / "raw" / "prices")


def test_files_are_copied_and_recorded(source, tmp_path):
    folder = obtain_prices(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["prices.csv", "raw.json"]
    assert (folder / "prices.csv").read_bytes() == CONTENT
    record = json.loads((folder / "raw.json").read_text(encoding="utf-8"))
    assert record == {"package": PACKAGE, "files": {"prices.csv": fingerprint(source)}}
    assert PACKAGE not in sys.modules


def test_an_old_folder_is_replaced(source, tmp_path):
    (tmp_path / "raw" / "prices").mkdir(parents=True)
    (tmp_path / "raw" / "prices" / "left_over.csv").write_text("old", encoding="utf-8")
    assert not (obtain_prices(tmp_path) / "left_over.csv").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.write_bytes(CONTENT[:-1]), "prices.csv has 14 bytes, not 15: it is cut off"),
        (lambda f: f.write_bytes(CONTENT + b"3"), "prices.csv has 16 bytes, not 15"),
        (
            lambda f: f.write_bytes(CONTENT.replace(b"2", b"3")),
            f"prices.csv has SHA-256 .*, not {hashlib.sha256(CONTENT).hexdigest()}: it was changed",
        ),
        (lambda f: f.unlink(), f"prices.csv is missing in the package {PACKAGE}"),
    ],
)
def test_a_damaged_file_is_refused(source, tmp_path, damage, message):
    damage(source)
    with pytest.raises(DataError, match=message):
        obtain_prices(tmp_path)
    assert not (tmp_path / "raw" / "prices" / "raw.json").exists()


def test_a_missing_package_is_named(tmp_path):
    with pytest.raises(DataError, match="package no_such_package is not installed; `make env`"):
        obtain_prices(tmp_path, package="no_such_package")


def test_a_fingerprint_is_size_and_hash(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert fingerprint(tmp_path / "abc") == {
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
