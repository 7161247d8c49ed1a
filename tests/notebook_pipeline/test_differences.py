"""One thing is changed by a known size in a file of each type: the place and the size are named."""

import base64
import io
import json
import math
import shutil

import h5py
import nbformat
import numpy as np
import pytest
import zarr
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from notebook_pipeline.verification.differences import differences


def picture(changed=0, **options):
    """A PNG of 4 x 3 pixels, one of which is brighter by ``changed``."""
    pixels = np.full((3, 4, 3), 100, "uint8")
    pixels[2, 1] += changed
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png", **options)
    return stream.getvalue()


def notebook():
    outputs = [
        new_output("stream", name="stdout", text="loss 0.5\naccuracy 0.9\n"),
        new_output("display_data", {"image/png": base64.b64encode(picture()).decode()}),
    ]
    code = new_code_cell("print(1)\nplot()", outputs=outputs, id="b", execution_count=1)
    cells = [new_markdown_cell("# Title", id="a"), code]
    return new_notebook(cells=cells, metadata={"made_from": {"key": "k", "code": {"a.py": "1"}}})


METRICS = {"test": {"r2": 0.5, "gain": math.nan}, "seeds": [1, 2]}


@pytest.fixture
def here(tmp_path):
    folder = tmp_path / "here"
    (folder / "model").mkdir(parents=True)
    nbformat.write(notebook(), folder / "report.ipynb")
    (folder / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
    (folder / "figure.png").write_bytes(picture())
    (folder / "losses.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n", encoding="utf-8")
    (folder / "page.html").write_text("<p>one\n<p>two\n<p>three\n", encoding="utf-8")
    (folder / "data.gz").write_bytes(b"\x1f\x8b\xff\x01")
    with h5py.File(folder / "model/model.weights.h5", "w") as file:
        file["layers/lstm/vars/0"] = np.zeros((2, 3), "float32")
    group = zarr.create_group(folder / "states.zarr", attributes={"seed": 1})
    values = np.zeros((2, 3))
    values[0, 0] = np.nan
    group.create_array("lstm/hidden", data=values, chunks=(1, 3))
    group.create_array("lstm/name", data=np.array(["x", "y"], np.dtypes.StringDType()))
    return folder


@pytest.fixture
def again(here):
    return shutil.copytree(here, here.parent / "again")


def found(here, again):
    return [str(difference) for difference in differences(here, again, "out")]


def test_equal_folders_do_not_differ(here, again):
    assert found(here, again) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda book: book.cells[1].update(source="print(1)\nplot(2)"),
            ", cell 2, source, line 2: 'plot()' here, 'plot(2)' in the clone",
        ),
        (
            lambda book: book.cells[1].outputs[0].update(text="loss 0.5\naccuracy 0.8\n"),
            ", cell 2, output 1, text, line 2: 'accuracy 0.9\\n' here, 'accuracy 0.8\\n' in the "
            "clone",
        ),
        (
            lambda book: (
                book.cells[1]
                .outputs[1]
                .data.update({"image/png": base64.b64encode(picture(7)).decode()})
            ),
            ", cell 2, output 2, picture: 1 of 12 pixels differ, by at most 7 of 255, the first in "
            "row 2, column 1",
        ),
        (
            lambda book: (
                book.cells[1]
                .outputs[1]
                .data.update({"image/png": base64.b64encode(picture(compress_level=0)).decode()})
            ),
            ", cell 2, output 2, picture: the same pixels in other bytes",
        ),
        (lambda book: book.cells[1].outputs.pop(), ", cell 2, output 2: only here"),
        (
            lambda book: book.cells[1].update(execution_count=3),
            ", cell 2, execution_count: 1.0 here, 3.0 in the clone, 2 apart",
        ),
        (
            lambda book: book.cells.append(new_markdown_cell("x", id="c")),
            ", cell 3: only in the clone",
        ),
        (
            lambda book: book.metadata.made_from.code.update({"a.py": "z"}),
            ", metadata made_from.code.a.py: '1' here, 'z' in the clone",
        ),
    ],
)
def test_a_notebook(here, again, change, said):
    changed = notebook()
    change(changed)
    nbformat.write(changed, again / "report.ipynb")
    assert found(here, again) == [f"out/report.ipynb{said}"]


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"r2": 0.75, "gain": math.nan}, "test.r2: 0.5 here, 0.75 in the clone, 0.25 apart"),
        ({"r2": 0.5, "gain": 1.0}, "test.gain: nan here, 1.0 in the clone"),
        ({"r2": 0.5}, "test.gain: only here"),
        ({"r2": "0.5?", "gain": math.nan}, "test.r2: 0.5 here, '0.5?' in the clone"),
    ],
)
def test_metrics(here, again, metrics, said):
    (again / "metrics.json").write_text(json.dumps({**METRICS, "test": metrics}), encoding="utf-8")
    assert found(here, again) == [f"out/metrics.json, {said}"]


def test_only_the_first_difference_in_a_file_is_named(here, again):
    (again / "metrics.json").write_text(
        json.dumps({"test": {"r2": 1, "gain": 1}, "seeds": [3]}), encoding="utf-8"
    )
    assert len(found(here, again)) == 1


def test_the_same_metrics_written_otherwise(here, again):
    (again / "metrics.json").write_text(json.dumps(METRICS, indent=1), encoding="utf-8")
    [said] = found(here, again)
    assert said.startswith("out/metrics.json: the same in other bytes, from byte 1 on;")


def test_a_picture(here, again):
    (again / "figure.png").write_bytes(picture(5))
    assert found(here, again) == [
        "out/figure.png: 1 of 12 pixels differ, by at most 5 of 255, the first in row 2, column 1"
    ]
    Image.new("RGB", (4, 5)).save(again / "figure.png")
    assert found(here, again) == ["out/figure.png: 4 x 3 pixels here, 4 x 5 in the clone"]
    (again / "figure.png").write_bytes(picture(compress_level=0))
    [said] = found(here, again)
    assert said.startswith("out/figure.png: the same in other bytes")


def test_a_table(here, again):
    (again / "losses.csv").write_text("epoch,loss\n1,0.5\n2,0.75\n", encoding="utf-8")
    assert found(here, again) == [
        "out/losses.csv, row 3, column loss: 0.25 here, 0.75 in the clone, 0.5 apart"
    ]
    (again / "losses.csv").write_text("epoch,loss\n1,0.5\n", encoding="utf-8")
    assert found(here, again) == ["out/losses.csv, row 3: ['2', '0.25'] here, None in the clone"]


def test_lines_of_text(here, again):
    (again / "page.html").write_text("<p>one\n<p>2\n<p>3\n", encoding="utf-8")
    assert found(here, again) == [
        "out/page.html, line 2: '<p>two\\n' here, '<p>2\\n' in the clone; 2 lines differ"
    ]
    long = "x" * 1000
    (here / "page.html").write_text(f"{long}a{long}", encoding="utf-8")
    (again / "page.html").write_text(f"{long}b{long}", encoding="utf-8")
    [said] = found(here, again)
    assert f"'{'x' * 20}a{'x' * 39}' here" in said


def test_bytes_that_are_no_text(here, again):
    (again / "data.gz").write_bytes(b"\x1f\x8b\xff\x02\x03")
    assert found(here, again) == [
        "out/data.gz: the same in other bytes, from byte 3 on; 4 here, 5 in the clone"
    ]


def test_one_weight(here, again):
    with h5py.File(again / "model/model.weights.h5", "r+") as file:
        file["layers/lstm/vars/0"][1, 2] = 0.5
    assert found(here, again) == [
        "out/model/model.weights.h5, array layers/lstm/vars/0: 1 of 6 values differ, most at "
        "[1, 2]: 0.0 here, 0.5 in the clone, 0.5 apart"
    ]


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (
            (1, 2),
            0.25,
            "1 of 6 values differ, most at [1, 2]: 0.0 here, 0.25 in the clone, 0.25 apart",
        ),
        ((0, 0), 0.25, "1 of 6 values differ, most at [0, 0]: nan here, 0.25 in the clone"),
        ((1, 1), np.inf, "1 of 6 values differ, most at [1, 1]: 0.0 here, inf in the clone"),
    ],
)
def test_one_value_of_a_store(here, again, place, value, said):
    zarr.open_array(again / "states.zarr/lstm/hidden")[place] = value
    assert found(here, again) == [f"out/states.zarr, array lstm/hidden: {said}"]


def test_no_number_is_farther_from_a_number_than_any_other(here, again):
    array = zarr.open_array(again / "states.zarr/lstm/hidden")
    array[0, 1], array[1, 0] = 1000.0, np.nan
    [said] = found(here, again)
    assert said.endswith("2 of 6 values differ, most at [1, 0]: 0.0 here, nan in the clone")


def test_other_arrays_in_a_store(here, again):
    zarr.open_array(again / "states.zarr/lstm/name")[1] = "z"
    [said] = found(here, again)
    assert "array lstm/name: 1 of 2 values differ, most at [1]" in said
    shutil.rmtree(again / "states.zarr/lstm/hidden")
    assert found(here, again) == ["out/states.zarr, array lstm/hidden: only here"]
    zarr.open_group(again / "states.zarr").create_array("lstm/hidden", data=np.zeros(2, "int8"))
    assert found(here, again) == [
        "out/states.zarr, array lstm/hidden: float64 (2, 3) here, int8 (2,) in the clone"
    ]


def test_metadata_alone_of_a_store(here, again):
    zarr.open_group(again / "states.zarr").attrs["seed"] = 3
    assert found(here, again) == [
        "out/states.zarr/zarr.json, attributes.seed: 1.0 here, 3.0 in the clone, 2 apart"
    ]


def test_missing_and_additional_files(here, again):
    (again / "figure.png").unlink()
    (again / "new.txt").write_text("", encoding="utf-8")
    shutil.rmtree(again / "model")
    (again / "model").write_text("", encoding="utf-8")
    assert found(here, again) == [
        "out/figure.png: a file here, missing in the clone",
        "out/model: a folder here, a file in the clone",
        "out/new.txt: missing here, a file in the clone",
    ]
