from contextlib import nullcontext

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.cell import notebook_defaults
from notebook_pipeline.run.contract import check_parameters, check_types

READS = "settings = read(globals())\nfit(settings.epochs, settings.units)"


def notebook(*cells, parameters="epochs = 8\nunits = [64, 32]"):
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    return new_notebook(cells=[tagged, *(new_code_cell(cell) for cell in cells)])


def check(parameters, *cells, **options):
    values = dict.fromkeys(parameters, 1)
    check_parameters(notebook(*cells, **options), values, "01_stacked.ipynb")


def test_what_is_taken_and_read_is_right():
    check(["epochs", "units"], READS)
    check(["epochs", "units"], "for i in range(epochs):\n    print(units[i])")
    check(["epochs", "units"], "%matplotlib inline\n!ls", READS)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (["epochs", "unit", "units"], "'unit' is in params.yaml, but not in .*mean 'units'"),
        (["epochs", "units", "xyzzy"], "'xyzzy' is in params.yaml, .*there are epochs, units"),
        (["units"], "'epochs' is not in params.yaml, .*there are units"),
    ],
)
def test_a_name_that_only_one_side_knows_is_refused(parameters, message):
    with pytest.raises(ConfigError, match=message) as error:
        check(parameters, READS)
    assert "the parameters cell of 01_stacked.ipynb" in str(error.value)


@pytest.mark.parametrize(
    "cell",
    [
        "fit(settings.epochs)",
        "fit(settings.epochs)\nunits = 3\nprint(units)",  # another thing of the same name
        "fit(settings.epochs)\nsettings.units = 3",
        "fit(settings.epochs)\nmodel.units",
        "fit(settings.epochs)  # settings.units",
        "fit(settings.epochs, 'settings.units')",
    ],
)
def test_a_parameter_that_is_never_read_is_refused(cell):
    with pytest.raises(ConfigError, match=r"'units' is never read in 01_stacked.*settings\.units"):
        check(["epochs", "units"], cell)


@pytest.mark.parametrize(
    ("cell", "value", "fits"),
    [
        ("rate = 0.1", 1, True),
        ("rate = 0.1", "0.2", False),
        ("rate = 0.1", None, True),
        ("rate = None", "0.2", True),
        ("rate = 1", 0.2, False),
        ("rate = 1", True, False),
        ("rate = True", 1, False),
        ("rate = [1]", [2.0], True),
        ("rate = [1]", 1, False),
    ],
)
def test_without_a_schema_the_notebook_tells_the_types(cell, value, fits):
    told = "'rate' is .* in params.yaml, but .* in the parameters cell of 01_a.ipynb: both must be"
    with nullcontext() if fits else pytest.raises(ConfigError, match=told):
        check_types(notebook(parameters=cell), {"rate": value}, "01_a.ipynb")


def test_words_are_no_code():
    content = notebook("fit(settings.epochs)")
    content.cells.append(new_markdown_cell("We use settings.units."))
    with pytest.raises(ConfigError, match="'units' is never read"):
        check_parameters(content, {"epochs": 1, "units": 1}, "01_stacked.ipynb")


def test_defaults_are_names_and_literals():
    content = notebook(parameters="# of training\nepochs = 8  # passes\nrate = -1e-3\nname = None")
    assert notebook_defaults(content, "a.ipynb") == {"epochs": 8, "rate": -0.001, "name": None}


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("epochs = 2 * 4", "epochs = 2 [*] 4"),
        ("import os", "import os"),
        ("epochs = units = 4", "epochs = units = 4"),
        ("epochs, units = 3, 4", "epochs, units = "),
    ],
)
def test_what_is_no_literal_is_refused(source, line):
    with pytest.raises(ConfigError, match=rf"a.ipynb, parameters cell: '.*{line}.*' is not of"):
        notebook_defaults(notebook(parameters=source), "a.ipynb")


def test_broken_code_is_named():
    with pytest.raises(ConfigError, match=r"01_stacked.ipynb: .* cell with the line 'fit\(\]'"):
        check(["epochs", "units"], READS + "\nfit(]")


def test_the_parameters_cell_has_to_be_there_once():
    content = notebook()
    with pytest.raises(ConfigError, match=r"a\.ipynb has 0 cells tagged 'parameters'; it needs 1"):
        notebook_defaults(new_notebook(), "a.ipynb")
    content.cells *= 2
    with pytest.raises(ConfigError, match=r"a\.ipynb has 2 cells"):
        notebook_defaults(content, "a.ipynb")
