import copy

import pytest
import yaml
from pydantic import ValidationError

from experiments.data.table import Table
from experiments.forecasting.settings import SECTIONS as CONFIGURATIONS
from experiments.forecasting.settings import Masked, Windowed
from experiments.parameters import Parameters
from experiments.project import PROJECT
from notebook_pipeline import load_parameters, read_parameters
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.file import read_file
from notebook_pipeline.repository import project_root
from tests.repository import ROOT

FILE = ROOT / "params.yaml"
VALUES = yaml.safe_load(FILE.read_text(encoding="utf-8"))
TABLE = {
    "maker": "table",
    "source": "mine.csv",
    "time": "t",
    "features": ["a"],
    "target": "y",
}


@pytest.fixture
def load(tmp_path):
    """Load the repository's own parameters with some of them changed, keys as a.b.c."""

    def load_changed(removed=(), **changes):
        values = copy.deepcopy(VALUES)
        values["stacked"] |= {"window": 100, "units": [64, 32]}  # which messages name
        for key, value in [*changes.items(), *((key, None) for key in removed)]:
            *folders, name = key.split(".")
            place = values
            for folder in folders:
                place = place[folder]
            if key in removed:
                del place[name]
            else:
                place[name] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return read_file(path, Parameters, PROJECT.sections_from)

    return load_changed


def test_the_projects_own_parameters_load_as_they_stand():
    assert read_file(FILE, Parameters).model_dump(exclude_unset=True) == VALUES


def test_the_file_is_found_from_any_folder_below(monkeypatch):
    monkeypatch.chdir(ROOT / "tests")
    assert project_root() == ROOT
    assert load_parameters() == load_parameters(ROOT)


def test_a_folder_outside_falls_back_on_the_checkout(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert (project_root() / "dvc.yaml").is_file()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # unknown, with the name that was meant
        ("stacked.learning_rat", 0.1, "stacked.learning_rat is not .* mean 'learning_rate'"),
        ("datasets.order_book.bar_mss", 1, "datasets.order_book.bar_mss is not .* mean 'bar_ms'"),
        ("memory.rounds", 10, "memory.rounds is not a parameter; there are seeds, samples, steps"),
        ("xyzzy", 1, "xyzzy is not a section; there are datasets.*; .*`lstm-states new NAME` wr"),
        # mistyped: nothing is converted
        ("stacked.seeds", [2**32], r"stacked.seeds\.0 is 4294967296: .*less than 4294967296"),
        ("datasets.japanese_vowels.seed", -5, "japanese_vowels.seed is -5: .*equal to 0"),
        ("masking.gap", 20, "gap is 20; it must be below window, which is 20"),
        ("cost.windows", [100, 100], r"windows is \[100, 100\]: each value may appear only once"),
        ("stacked.epochs", "8", "stacked.epochs is '8': .*valid integer"),
        ("stacked.epochs", 8.0, "stacked.epochs is 8.0: .*valid integer"),
        ("stacked.center", 1, "stacked.center is 1: .*valid boolean"),
        ("stacked.head_units", True, "stacked.head_units is True: .*valid integer"),  # DVC: it is 1
        ("stacked.learning_rate", "0.1", "stacked.learning_rate is '0.1': .*valid number"),
        ("stacked.units", 64, "stacked.units is 64: .*valid list"),
        ("stacked.loss", "mae", "stacked.loss is 'mae': .*'mse', 'huber'"),
        # no numbers
        ("stacked.learning_rate", float("nan"), "stacked.learning_rate is nan: .*finite number"),
        ("stacked.learning_rate", float("inf"), "stacked.learning_rate is inf: .*finite number"),
        ("variable_length.mask_value", float("nan"), "variable_length.mask_value is nan: .*finite"),
        ("memory.forget_biases", [1.0, float("inf")], "memory.forget_biases.1 is inf: .*finite"),
        # out of range
        ("stacked.dropout", 1.0, "stacked.dropout is 1.0: .*less than 1"),
        ("stacked.learning_rate", 0.0, "stacked.learning_rate is 0.0: .*greater than 0"),
        ("stacked.units", [64, 0], "stacked.units.1 is 0: .*greater than or equal to 1"),
        ("stacked.units", [], r"stacked.units is \[\]: .*at least 1 item"),
        ("stacked.window", 1, "stacked.window is 1: .*greater than or equal to 2"),
        ("stacked.patience", -1, "stacked.patience is -1: .*greater than or equal to 0"),
        ("stacked.resamples", 99, "stacked.resamples is 99: .*equal to 100"),
        ("stacked.seeds", [0, -1], "stacked.seeds.1 is -1: .*equal to 0"),
        # wrong together
        ("stacked.seeds", [3, 1, 3], r"seeds is \[3, 1, 3\]: each value may appear only once"),
        ("carrying_state.steps", 101, "steps is 101; .* at most stacked.window, which is 100"),
        ("stacked.dataset", "orderbook", "dataset is 'orderbook'; did you mean 'order_book'"),
        ("stacked.dataset", "b", "dataset is 'b'; there are .*japanese_vowels, .*order_book"),
        ("datasets.order_book.train_fraction", 0.9, "must leave a part for the test"),
        ("stacked.window", 10, "window is 10; it must be above 10, the past steps that .* depth"),
        ("stacked.units", [64], r"stacked.units is \[64\]; it must hold 2 widths or more"),
        ("memory.training_steps", 0, "memory.training_steps is 0: .*equal to 1"),
        ("depth.signal_steps", 0, "depth.signal_steps is 0: .*equal to 1"),
        ("carrying_state.samples", 1, "carrying_state.samples is 1: .*equal to 2"),
        ("masking.missing", 0.84, "missing is 0.84; with gaps of 5 steps, .* 0.833 at most"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_what_is_right(load, key, value, message):
    with pytest.raises(ConfigError, match=message) as error:
        load(**{key: value})
    assert str(error.value).startswith("params.yaml: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"stacked.window": 11, "carrying_state.steps": 4, "depth.samples": 2},
            "depth.samples is 2; with windows of 11 steps that is too few to read 32 units",
        ),
        (
            {"stacked.window": 11, "carrying_state.steps": 4, "depth.samples": 3,
             "stacked.units": [2, 2]},
            "depth.samples is 3; .* to score on the other half",
        ),
        ({"memory.training_steps": 29, "memory.batch_size": 1}, "memory.training_steps is 29 and"),
        ({"depth.label_steps": 1, "depth.batch_size": 29}, "depth.label_steps is 1 and .* 30 or"),
    ],
)  # fmt: skip
def test_what_one_section_asks_of_another_is_checked_at_once(load, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(**changes)


def test_limits_are_as_wide_as_can_be(load):
    load(**{"stacked.window": 11, "carrying_state.steps": 11, "depth.samples": 6,
            "stacked.units": [4, 3, 2]})  # fmt: skip
    load(**{"memory.training_steps": 30, "memory.batch_size": 1, "masking.missing": 0.83})


@pytest.mark.parametrize("name", ["my.data", "mine@home", "a/b", "my data", "", "-x", "größe"])
def test_a_data_sets_name_has_to_fit_stages_and_files(load, name):
    with pytest.raises(ConfigError, match=r"use only letters, digits, _ and -") as error:
        load(datasets={**VALUES["datasets"], name: TABLE})
    told = str(error.value)
    assert told.startswith(f"params.yaml: datasets: {name!r} is not a valid name: ")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"a": {"features": ["a", "y"]}}, "datasets.a: features holds 'y', the target"),
        (
            {"a": {"features": ["a", "a"]}},
            r"features is \['a', 'a'\]: each value may appear only once",
        ),
        (
            {"a": {"features": ["a", "next"]}, "b": {"target": "next", "horizon": 5}},
            "datasets.a.features holds 'next', which by datasets.b looks 5 rows ahead",
        ),
    ],
)
def test_what_is_not_known_in_time_is_no_feature(load, tables, message):
    changed = {name: TABLE | options for name, options in tables.items()}
    with pytest.raises(ConfigError, match=message):
        load(datasets={**VALUES["datasets"], **changed})


@pytest.mark.parametrize("key", ["stacked.units", "datasets.japanese_vowels.seed", "stacked"])
def test_a_missing_key_is_named(load, key):
    with pytest.raises(ConfigError, match=f"{key} is missing"):
        load(removed=[key])


def test_all_problems_are_told_at_once(load):
    with pytest.raises(ConfigError) as error:
        load(**{"stacked.epochs": 0, "variable_length.units": [-1]})
    assert "stacked.epochs is 0" in str(error.value)
    assert "variable_length.units.0 is -1" in str(error.value)
    with pytest.raises(ConfigError) as error:
        load(**{"stacked.dataset": "b", "carrying_state.steps": 101})
    assert "stacked.dataset is 'b'" in str(error.value)
    assert "carrying_state.steps is 101" in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stacked.seeds", [3, 1, 3], r"stacked.seeds is \[3, 1, 3\]"),
        ("datasets.order_book.train_fraction", 0.9, r"datasets.order_book.*0\.9"),
        ("datasets.order_book.maker", "order_bok", "order_bok.*'order_book'"),
    ],
)
def test_rules_across_values_name_the_key_too(load, key, value, message):
    with pytest.raises(ConfigError, match=message):
        load(**{key: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stacked.head_units": 3}, "stacked: head_units is 3; mse needs 1 unit"),
        ({"stacked.head_activation": "rleu"}, "stacked.head_activation is 'rleu'"),
        ({"stacked.loss": "binary_crossentropy"}, r"head_activation is None; .* needs .*sigmoid"),
        ({"variable_length.head_units": 1}, "needs a unit for each class"),
        ({"variable_length.loss": "mse"}, "head_activation is 'softmax'; mse needs"),
    ],
)
def test_the_head_has_to_fit_the_loss(load, changes, message):
    with pytest.raises(ConfigError, match=message):
        load(**changes)


@pytest.mark.parametrize("text", ["", "- stacked\n"])
def test_a_file_without_keys_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"params.yaml: parameters is"):
        read_file(tmp_path / "params.yaml", Parameters)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: 1\nb: [1\nc: 2\n", "params.yaml is not valid YAML: expected .* in line 3, column 2"),
        (b"a:\n  b: 1\n  c: 2\n  b: 3\n", 'YAML: found duplicate key "b" .* in line 4, column 3'),
        (b"a: !!python/object:os.system {}\n", "not valid YAML: could not determine a constructor"),
        (b"a: \x00\n", "params.yaml is not valid YAML: unacceptable character #x0000"),
        (b"a: \xff\n", "params.yaml is not UTF-8: invalid start byte at byte 3"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused(tmp_path, text, message):
    (tmp_path / "params.yaml").write_bytes(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_file(tmp_path / "params.yaml", Parameters)
    assert len(str(error.value).splitlines()) <= 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"params.yaml can't be read: No such file"):
        read_file(tmp_path / "params.yaml", Parameters)


def test_numbers_are_read_as_dvc_writes_them(tmp_path):
    text = FILE.read_text(encoding="utf-8").replace("learning_rate: 0.001", "learning_rate: 1e-05")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert read_file(tmp_path / "params.yaml", Parameters).variable_length.learning_rate == 0.00001


def test_a_users_own_table_is_a_dataset(load):
    params = load(**{"datasets.mine": TABLE, "stacked.dataset": "mine"})
    assert params.datasets["mine"] == Table(**TABLE, train_fraction=0.6, validation_fraction=0.1)
    assert params.datasets["mine"].series is None
    assert params.datasets["mine"].horizon == 0


def test_parameters_cannot_be_changed_afterwards():
    with pytest.raises(ValidationError, match="frozen"):
        read_file(FILE, Parameters).stacked.epochs = 1


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_a_notebooks_globals_become_its_parameters(configuration):
    namespace = {**VALUES[configuration], "samples": object(), "np": None}
    parameters = read_parameters(configuration, namespace)
    assert isinstance(parameters, Masked if configuration == "variable_length" else Windowed)
    assert parameters.model_dump() == VALUES[configuration]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "notebook stacked: epochs is 0: .*greater than or equal to 1"),
        ({"units": (64, 32)}, r"units is \(64, 32\): .*valid list"),
        ({"seeds": [1, 1]}, r"seeds is \[1, 1\]"),
    ],
)
def test_a_notebooks_wrong_value_is_named(change, message):
    with pytest.raises(ConfigError, match=message):
        read_parameters("stacked", {**VALUES["stacked"], **change})


def test_a_notebooks_missing_parameter_is_named():
    values = {name: value for name, value in VALUES["stacked"].items() if name != "window"}
    with pytest.raises(ConfigError, match="notebook stacked: window is missing"):
        read_parameters("stacked", values)
