"""Raw files, copied from the package that contains them, with size and SHA-256."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import yaml

from experiments.data.schema import DataError


def obtain(dataset: str, sources: Path, target: Path) -> Path:
    """Copy the raw files of ``dataset`` into the new folder ``target`` and check each of them.

    Args:
        dataset: A key of the file ``sources``.
        sources: YAML: for each data set its package, the folder in it, and its files, each with
            ``bytes`` and ``sha256``.
        target: The folder to create; an existing one is replaced.

    Returns:
        ``target``, which then also holds ``raw.json``, the record of the files.

    Raises:
        DataError: if a file is missing, truncated or changed, naming the file and the difference.
    """
    entry = yaml.safe_load(sources.read_text(encoding="utf-8"))[dataset]
    folder = _package_folder(entry["package"]) / entry["folder"]
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name, expected in entry["files"].items():
        if not (folder / name).is_file():
            raise DataError(f"{name} is missing in the package {entry['package']}")
        shutil.copyfile(folder / name, target / name)
        check_raw(target / name, expected)
    write_record(target, {"package": entry["package"], "files": entry["files"]})
    return target


def check_raw(path: Path, expected: Mapping[str, int | str]) -> None:
    """Refuse the file at ``path`` if its size or SHA-256 differs from ``expected``."""
    found = fingerprint(path)
    if found["bytes"] != expected["bytes"]:
        raise DataError(
            f"{path.name} has {found['bytes']} bytes, not {expected['bytes']}: "
            "it is cut off or another version"
        )
    if found["sha256"] != expected["sha256"]:
        raise DataError(
            f"{path.name} has SHA-256 {found['sha256']}, not {expected['sha256']}: it was changed"
        )


def fingerprint(path: Path) -> dict[str, int | str]:
    """Return ``bytes`` and ``sha256`` of the file at ``path``."""
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def write_record(folder: Path, record: Mapping[str, object]) -> None:
    """Write ``raw.json``, which lists the files of ``folder`` and their source."""
    (folder / "raw.json").write_text(
        json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )


def _package_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise DataError(f"the package {package} is not installed; `make env` installs it")
    return Path(spec.origin).parent
