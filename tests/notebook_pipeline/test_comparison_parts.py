"""The parts of a comparison: measures and their intervals, curves, figures, cells, parameters."""

import base64
import io
import json
import math
import re

import numpy as np
import pytest
from mlflow.entities import Run, RunData, RunInfo
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from scipy import stats

from notebook_pipeline.comparison.cells import compare_cells
from notebook_pipeline.comparison.curves import COLOURS, compare_curves
from notebook_pipeline.comparison.figures import MARK, compare_figures, compare_pictures
from notebook_pipeline.comparison.measures import (
    compare_evidence,
    compare_numbers,
    in_words,
    interval_of,
    shown,
)
from notebook_pipeline.comparison.parameters import compare_parameters, other_causes
from notebook_pipeline.comparison.recorded import meant_run
from notebook_pipeline.comparison.texts import LONGEST, difference
from notebook_pipeline.errors import ConfigError

FIRST, SECOND = [0.61, 0.64, 0.66, 0.60, 0.65], [0.66, 0.65, 0.71, 0.63, 0.72]


def by_seed(values, begin=0):
    return {f"seed {begin + at}": value for at, value in enumerate(values)}


def test_an_interval_of_pairs_is_that_of_scipy():
    found = interval_of(by_seed(FIRST), by_seed(SECOND))
    low, high = stats.ttest_rel(SECOND, FIRST).confidence_interval(0.95)
    np.testing.assert_allclose([found.low, found.high], [low, high], rtol=1e-12)
    assert found.how == "5 pairs of a seed"
    assert found.excludes_zero
    # By hand: differences 5, 1, 5, 3, 7 hundredths have mean 4.2 and variance 5.2; t is 2.776.
    half = 2.7764 * math.sqrt(5.2 / 5)
    np.testing.assert_allclose([found.low, found.high], [(4.2 - half) / 100, (4.2 + half) / 100],
                               rtol=1e-4)  # fmt: skip


@pytest.mark.parametrize("begin", [3, 10])  # two seeds in common, or none
def test_an_interval_of_other_seeds_is_that_of_welch(begin):
    found = interval_of(by_seed(FIRST), by_seed(SECOND[:3], begin))
    welch = stats.ttest_ind(SECOND[:3], FIRST, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose([found.low, found.high], [welch.low, welch.high], rtol=1e-12)
    assert found.how == "Welch, 5 and 3 seeds"
    assert not found.excludes_zero


def test_where_there_is_no_interval():
    assert interval_of(by_seed([1.0]), by_seed([2.0, 3.0])) is None
    assert interval_of(by_seed([1.0, 2.0, math.nan]), by_seed([1.0, 2.0, 3.0])) is None
    constant = interval_of(by_seed([1.0] * 3), by_seed([1.5] * 3))
    assert (constant.low, constant.high, constant.excludes_zero) == (0.5, 0.5, True)
    constant = interval_of(by_seed([1.0] * 2), by_seed([1.5] * 2))
    assert (constant.low, constant.high) == (0.5, 0.5)


def measure(values, says, unit="1"):
    return {"values": values, "says": says, "unit": unit}


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_measures_come_by_the_size_of_their_difference(tmp_path):
    a = write(tmp_path / "a", evidence={
        "small": measure(by_seed([1.0, 2.0, 3.0]), "Small", "steps"),
        "large": measure(by_seed([1.0, 1.1, 1.2]), "Large"),
        "same": measure(by_seed([1.0, math.nan]), "Same"),
        "mixed": measure({**by_seed([4.0, 5.0]), "trained": 8.0}, "Mixed"),
        "gone": measure({"trained": 1.0}, "Gone"),
    })  # fmt: skip
    b = write(tmp_path / "b", evidence={
        "small": measure(by_seed([1.1, 2.1, 3.3]), "Small", "steps"),
        "large": measure(by_seed([2.0, 2.1, 2.3]), "Large"),
        "same": measure(by_seed([1.0, math.nan]), "Same"),
        "mixed": measure({**by_seed([4.0, 5.0]), "trained": 6.0}, "Mixed"),
        "new": measure(by_seed([1.0]), "New"),
    })  # fmt: skip
    found = compare_evidence(a, b)
    assert [one.says for one in found.seeded] == ["Large", "Small"]
    assert found.seeded[0].difference == pytest.approx(3.1 / 3)
    assert [one.unit for one in found.seeded] == ["1", "steps"]
    [single] = found.single
    assert (single.name, single.first, single.second) == ("Mixed, trained", 8.0, 6.0)
    assert (single.difference, single.size) == (-2.0, 0.25)
    assert found.equal == 2  # Same, and the seeds of Mixed
    assert (found.first_only, found.second_only) == (("Gone, trained",), ("New",))
    assert found.differing == 5
    assert compare_evidence(a, a).differing == 0


def test_the_difference_is_of_the_seeds_that_its_interval_is_of(tmp_path):
    a = write(tmp_path / "a", evidence={"r": measure(by_seed([1.0, 2.0, 3.0, 100.0]), "R")})
    b = write(tmp_path / "b", evidence={"r": measure(by_seed([2.0, 3.0, 4.5]), "R")})
    [one] = compare_evidence(a, b).seeded
    assert one.difference == pytest.approx(3.5 / 3)
    assert one.interval.low < one.difference < one.interval.high


def test_numbers_and_words_of_metrics(tmp_path):
    a = write(tmp_path / "a", metrics={"test": {"r2": 0.5, "auc": 0.9}, "best": "ridge", "n": 3})
    b = write(tmp_path / "b", metrics={"test": {"r2": 0.4, "mse": 0.1}, "best": "mean", "n": 3})
    found = compare_numbers(a, b)
    assert [(one.name, one.first, one.second) for one in found.single] == [
        ("best", "ridge", "mean"), ("test.r2", 0.5, 0.4),
    ]  # fmt: skip
    assert found.single[0].difference is None
    assert found.single[1].difference == pytest.approx(-0.1)
    assert (found.equal, found.first_only, found.second_only) == (1, ("test.auc",), ("test.mse",))
    assert compare_numbers(a, tmp_path).first_only == ("test.r2", "test.auc", "best", "n")


def test_numbers_that_differ_are_never_shown_as_equal():
    assert list(shown(0.5, 0.25)) == ["0.5", "0.25"]
    assert list(shown(0.12345678, 0.12345679)) == ["0.12345678", "0.12345679"]
    assert list(shown(1.0, 1.0 + 2**-52)) == ["1", "1.0000000000000002"]
    assert list(shown("ridge", 3)) == ["ridge", "3"]
    assert in_words(by_seed([3.0, 1.0, 2.0])) == "2 (1 to 3)"
    assert in_words(by_seed([3.0])) == "3 (one seed)"


def steps(folder, rows):
    (folder / "plots").mkdir(parents=True)
    text = "".join(f"{row}\n" for row in ("name,step,value", *rows))
    (folder / "plots/steps.csv").write_text(text, encoding="utf-8")
    return folder


def test_curves_are_overlaid_in_both_colours(tmp_path):
    a = steps(tmp_path / "a", [
        "loss/seed_0,1,3.0", "loss/seed_0,2,2.0", "loss/seed_1,1,3.5", "loss/seed_1,2,nan",
        "rate/all,1,0.1",
    ])  # fmt: skip
    b = steps(tmp_path / "b", ["loss/seed_0,1,3.0", "loss/seed_0,2,1.0", "rate/all,1,0.1"])
    found = compare_curves(a, b, ("$before$", "_after" * 20))
    [chart] = found.differing
    assert (chart.metric, found.equal) == ("loss", ("rate",))
    assert chart.alt == f"loss by step: 2 of $before$ and 1 of {'_after' * 20}"
    svg = base64.b64decode(chart.picture.partition(",")[2]).decode()
    assert all(colour.lower() in svg.lower() for colour in COLOURS)
    assert "<dc:date>" not in svg
    assert {"<!-- $before$ -->", f"<!-- {('after' + '_after' * 20)[:33]}… -->"} <= set(
        re.findall("<!-- .*? -->", svg)
    )
    assert compare_curves(a, b, ("$before$", "_after" * 20)) == found


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def opened(picture):
    data = base64.b64decode(picture.uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_pixels_that_differ_are_marked():
    a = np.full((4, 6, 3), 40, np.uint8)
    a[0, 0] = 255
    b = a.copy()
    b[1, 2, 1] += 1  # by the least that there is
    [pair] = compare_pictures({"x": png(a)}, {"x": png(b)}).differing
    marked = (opened(pair.apart) == MARK).all(axis=-1)
    assert np.argwhere(marked).tolist() == [[1, 2]]
    assert (opened(pair.apart)[~marked] > 190).all()  # pale, so that the mark is seen
    np.testing.assert_array_equal(opened(pair.second), b)


def test_figures_of_other_sizes_keep_one_scale(tmp_path):
    for side, sizes in {"a": (4, 3, 5), "b": (4, 6, None)}.items():
        (tmp_path / side / "figures").mkdir(parents=True)
        for name, size in zip(("same", "wide", "gone"), sizes, strict=True):
            if size:
                path = tmp_path / side / "figures" / f"{name}.png"
                path.write_bytes(png(np.zeros((2, size, 3))))
    found = compare_figures(tmp_path / "a", tmp_path / "b")
    assert found.equal == ("same.png",)
    gone, wide = found.differing
    assert (gone.second, gone.apart, wide.apart) == (None, None, None)
    assert (wide.first.share, wide.second.share) == (50, 100)


def told(part):
    return [line.sign + "".join(text for text, _ in line.parts) for line in part.lines]


def marked(part):
    return [text for line in part.lines for text, differs in line.parts if differs]


def stream(text):
    return new_output("stream", name="stdout", text=text)


def test_cells_are_aligned_though_their_numbers_move():
    first = new_notebook(cells=[
        new_markdown_cell("# One"),
        new_code_cell("units = 4", metadata={"tags": ["injected-parameters"]}),
        new_code_cell("a = 1\nb = 2", outputs=[stream("loss 0.50\nend\n")]),
        new_code_cell("gone()"),
        new_code_cell("last(1)"),
    ])  # fmt: skip
    second = new_notebook(cells=[
        new_markdown_cell("# One"),
        new_markdown_cell("Something entirely new."),
        new_code_cell("a = 1\nb = 2", outputs=[stream("loss 0.25\nend\n")]),
        new_code_cell("last(2)"),
    ])  # fmt: skip
    new, changed, gone, last = compare_cells(first, second)
    assert (new.place, new.first_line) == ("cell 2, added", "Something entirely new.")
    assert told(new.parts[0]) == ["+Something entirely new."]
    assert (changed.place, [part.what for part in changed.parts]) == ("cell 3", ["output"])
    assert told(changed.parts[0]) == ["-loss 0.50", "+loss 0.25", " end"]
    assert marked(changed.parts[0]) == ["50", "25"]
    assert gone.place == "cell 4, taken away"
    assert (last.place, last.parts[0].what) == ("cell 5, now 4", "source")
    assert marked(last.parts[0]) == ["1", "2"]
    assert list(compare_cells(first, first)) == []


def test_tables_are_compared_row_by_row_and_pictures_by_pixels():
    def notebook(value, colour):
        html = f"<style>x</style><table><tr><th>r2</th><td>{value}</td></tr></table>"
        picture = base64.b64encode(png(np.full((2, 2, 3), colour))).decode()
        outputs = [
            new_output("display_data", data={"text/html": html, "text/plain": "a table"}),
            new_output("display_data", data={"image/png": picture, "text/plain": "<Figure>"}),
        ]
        return new_notebook(cells=[new_code_cell("show()", outputs=outputs)])

    [cell] = compare_cells(notebook(0.5, 9), notebook(0.75, 9))
    assert told(cell.parts[0]) == ["-r2 | 0.5", "+r2 | 0.75"]
    assert cell.pictures == ()
    [cell] = compare_cells(notebook(0.5, 9), notebook(0.5, 8))
    assert (cell.parts, [pair.name for pair in cell.pictures]) == ((), ["picture 1"])


def test_a_difference_shows_some_lines_around_it():
    lines = [f"line {number}" for number in range(20)]
    other = [*lines[:10], "another one", *lines[11:]]
    found = difference("\n".join(lines), "\n".join(other))
    assert [line.sign for line in found] == ["…", " ", " ", "-", "+", " ", " "]
    assert difference("a\nb", "a\nb") == ()


def test_what_lies_beyond_the_compared_lines_is_told():
    text = "same\n" * LONGEST
    [left] = difference(f"{text}a", f"{text}b")
    assert left.parts[0][0] == f"only the first {LONGEST} lines are compared"


def made(source, **made_from):
    cells = [new_code_cell(source, metadata={"tags": ["parameters"]})]
    return new_notebook(cells=cells, metadata={"made_from": made_from})


def test_parameters_and_all_else_that_decides(tmp_path):
    a = made(
        "units = 4  # width\nrate = 0.1", key="a", code={"src/x": "1", "src/y": "1"},
        data={"data/x": "1"}, environment="1",
        parameters={"net": {"units": 4, "rate": 0.1}, "data": {"x": {"bar": 1}}},
    )  # fmt: skip
    b = made(
        "units = 5  # width\nrate = 0.1\nnew = 1", key="b", code={"src/x": "2", "src/y": "1"},
        data={"data/x": "2"}, environment="2",
        parameters={"net": {"units": 5, "rate": 0.1}, "data": {"x": {"bar": 2}}},
    )  # fmt: skip
    found = compare_parameters(a, b)
    assert [(one.name, one.values, one.meaning) for one in found] == [
        ("units", ("4", "5"), "width"),
        ("new", (None, "1"), ""),
        ("data.x.bar", ("1", "2"), ""),
    ]
    folders = [
        write(tmp_path / key, run={"key": key, "machine": {"cores": cores, "packages": {"p": "1"}}})
        for key, cores in (("a", 2), ("b", 16))
    ]
    assert other_causes((a, b), tuple(folders)) == (
        "data: data/x", "code: src/x", "packages: requirements.lock",
        "machine, the first for the second: cores 2 for 16",
    )  # fmt: skip
    write(tmp_path / "b", run={"key": "of another run", "machine": {"cores": 16}})
    assert other_causes((a, b), tuple(folders))[3:] == ()
    assert other_causes((a, a), (folders[0], folders[0])) == ()


def a_run(run_id, name):
    info = RunInfo(run_id, "1", "me", "FINISHED", 0, 1, "active", run_name=name)
    return Run(info, RunData())


def test_a_run_is_named_by_its_name_or_the_beginning_of_its_id():
    runs = [a_run("abcdef00", "one"), a_run("abcdef11", "two"), a_run("bbbbbb11", "two")]
    assert meant_run("one", runs) is meant_run("abcdef0", runs) is runs[0]
    assert meant_run("bbbbb", runs) is None  # too few digits
    for text in ("abcdef", "two"):
        with pytest.raises(ConfigError, match=f"'{text}' stands for 2 MLflow runs.*abcdef11"):
            meant_run(text, runs)
