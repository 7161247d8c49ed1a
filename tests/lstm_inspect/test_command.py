"""Files of every kind, hostile ones too: a report, or one line that says what is wrong."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from lstm_inspect.command import main
from lstm_inspect.data import read_data, read_labels, read_tokens
from lstm_inspect.keras_2 import OBJECTS, hard_sigmoid_of_keras_2, parts_of
from lstm_inspect.models import load_model
from tests.lstm_inspect.models import L, numbers, padded, sequential, waves
from tests.repository import ROOT

# Keras 3 saves by a conversion that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def model():
    return sequential((None, 2), L.LSTM(3, name="lstm"), L.Dense(1))


@pytest.fixture
def folder(tmp_path, monkeypatch, model):
    """The current folder, with a model and data in it."""
    monkeypatch.chdir(tmp_path)
    model.save("model.keras")
    np.savez("data.npz", x=padded(), y=np.arange(8) % 2)
    return tmp_path


def refused(capsys, *arguments):
    """Run the command, which must fail, and return its one line."""
    assert main([str(one) for one in arguments]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1, err
    assert out == ""
    return err


def test_a_report_in_a_process_of_its_own(folder):
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "lstm_inspect", "model.keras", "data.npz"]
    ran = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("wrong: lstm: It reads padding as data")
    assert ran.stdout.endswith("wrote report.html (wrong 1, risk 1, note 1)\n")
    assert "</html>" in (folder / "report.html").read_text(encoding="utf-8")
    ran = subprocess.run(
        [*command[:-1], "none.npz"], env=env, capture_output=True, encoding="utf-8", check=False
    )
    assert ran.returncode == 2
    assert ran.stderr == "python -m lstm_inspect: none.npz: there is no such file\n"


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_files_of_every_kind_give_the_same_findings(folder, model, capsys):
    model.save("model.h5")
    np.save("data.npy", padded())
    np.savez("only.npz", anything=padded())
    told = set()
    for files in (
        ("model.keras", "data.npz"),
        ("model.h5", "data.npy"),
        ("model.keras", "only.npz"),
    ):
        assert main([*files, "--out", "r.html"]) == 0
        told.add(capsys.readouterr().out)
    assert len(told) == 1


def keras_2(config):
    """Put the description of a model into the words of Keras 2, as tf_keras 2.21 writes them."""
    for part in parts_of(config):
        own = part["config"]
        for key in ("module", "registered_name", "build_config"):
            part.pop(key, None)
        if "return_sequences" in own and part["class_name"] != "Bidirectional":
            own["time_major"] = False
        if "batch_shape" in own:
            own["batch_input_shape"] = own.pop("batch_shape")
        own["dtype"] = "float32"
        for key in ("kernel_initializer", "recurrent_initializer", "bias_initializer"):
            own.pop(key, None)
    return config


def save_as_keras_2(model, path, change=lambda layers: None):
    model.save(path)
    with h5py.File(path, "r+") as file:
        config = keras_2(json.loads(file.attrs["model_config"]))
        change({layer["config"]["name"]: layer for layer in config["config"]["layers"]})
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_a_file_of_keras_2(folder, model, capsys):
    save_as_keras_2(model, "old.h5")
    assert main(["old.h5", "data.npz"]) == 0
    assert capsys.readouterr().out.startswith("wrong: lstm: It reads padding as data")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_a_gate_of_keras_2_is_another_function(folder):
    values = hard_sigmoid_of_keras_2(np.array([-3, -1, 0, 1, 3], "float32"))
    np.testing.assert_allclose(values, [0, 0.3, 0.5, 0.7, 1], rtol=1e-6)
    cells = L.RNN([L.GRUCell(3, recurrent_activation=hard_sigmoid_of_keras_2)], name="cells")
    both = L.LSTM(3, recurrent_activation=hard_sigmoid_of_keras_2, return_sequences=True)
    with keras.saving.custom_object_scope(OBJECTS):  # Bidirectional makes copies
        own = sequential((6, 2), L.Bidirectional(both, name="both"), cells)

    def old(layers):
        stack = layers["cells"]["config"]["cell"]["config"]
        stack["cells"][0]["config"]["recurrent_activation"] = "hard_sigmoid"
        layers["both"]["config"]["layer"]["config"]["recurrent_activation"] = "hard_sigmoid"

    save_as_keras_2(own, "old.h5", old)
    np.testing.assert_array_equal(
        load_model(Path("old.h5")).predict(5 * numbers(), verbose=0),
        own.predict(5 * numbers(), verbose=0),
    )


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_graphs_of_keras_2(folder, capsys):
    """Keras 2 put initial states behind the input, and counted the making of a nested model."""
    x, inside = keras.Input((6, 2), name="x"), keras.Input((6, 2), name="inside")
    nested = keras.Model(inside, L.GRU(2, name="gru", return_sequences=True)(inside), name="nested")
    first, h, c = L.LSTM(3, return_sequences=True, return_state=True, name="first")(nested(x))
    model = keras.Model(x, L.LSTM(3, name="second")(first, initial_state=[h, c]))
    graph = {
        "x": [],
        "nested": [[["x", 0, 0, {}]]],
        "first": [[["nested", 1, 0, {}]]],
        "second": [[["first", 0, place, {}] for place in range(3)]],
    }

    def old(layers):
        for name, layer in layers.items():
            layer["inbound_nodes"] = graph[name]
        own = {layer["name"]: layer for layer in layers["nested"]["config"]["layers"]}
        own["gru"]["inbound_nodes"] = [[["inside", 0, 0, {}]]]
        own["inside"]["inbound_nodes"] = []

    save_as_keras_2(model, "old.h5", old)
    np.testing.assert_array_equal(
        load_model(Path("old.h5")).predict(numbers(), verbose=0),
        model.predict(numbers(), verbose=0),
    )

    def sliced(layers):
        old(layers)
        layers["second"]["class_name"] = "SlicingOpLambda"

    save_as_keras_2(model, "old.h5", sliced)
    line = refused(capsys, "old.h5", "data.npz")
    assert "old.h5: Keras 3 can't make a model of this file of Keras 2" in line
    assert "layer 'second' is of Keras 2 alone (SlicingOpLambda)" in line


def test_tables_are_cut_into_samples_and_masked(folder, capsys):
    lengths = [5, 3, 5, 4]
    table = pd.DataFrame(numbers(1, 17)[0], columns=["a", "b"])
    table["sample"] = np.repeat(list("wxyz"), lengths)
    table["class"] = np.repeat(["up", "down", "up", "down"], lengths)
    table.to_csv("data.csv", index=False)
    table.to_parquet("data.parquet")
    pages = []
    for name in ("data.csv", "data.parquet"):
        assert main(["model.keras", name, "--labels", "class"]) == 0
        pages.append((folder / "report.html").read_text(encoding="utf-8").replace(name, ""))
    assert pages[0] == pages[1]
    assert "15% of the steps are padding at the end (by the mask given)" in pages[0]
    assert "skips 15% of steps" in pages[0]
    assert "wrong" not in capsys.readouterr().out
    table[["a", "b"]].to_csv("one.csv", index=False)
    assert main(["model.keras", "one.csv"]) == 0
    assert "shape (1, 17, 2)" in (folder / "report.html").read_text(encoding="utf-8")


def test_labels_and_words_from_files(folder, capsys):
    words = sequential((None,), L.Embedding(9, 2, mask_zero=True), L.GRU(3))
    words.save("words.keras")
    np.save("codes.npy", np.random.default_rng(0).integers(1, 9, (8, 5)))
    (folder / "labels.txt").write_text("\n".join("abababab"), encoding="utf-8")
    (folder / "words.txt").write_text(
        "\n".join("<&>bcdefgh"[i] for i in range(9)), encoding="utf-8"
    )
    arguments = ["words.keras", "codes.npy", "--labels", "labels.txt", "--tokens", "words.txt"]
    assert main(arguments) == 0
    assert "Accuracy of a linear probe" in (folder / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    (folder / "words.txt").write_text("a\nb\n", encoding="utf-8")
    assert "tokens holds 2 words" in refused(capsys, *arguments)


def test_several_inputs_by_their_names(folder, capsys):
    one, two = keras.Input((5, 2), name="left"), keras.Input((5, 1), name="right")
    model = keras.Model([one, two], L.LSTM(2)(L.Concatenate()([one, two])))
    model.save("two.keras")
    np.savez("two.npz", left=numbers(4, 5), right=numbers(4, 5, 1))
    assert main(["two.keras", "two.npz"]) == 0
    capsys.readouterr()
    np.savez("two.npz", left=numbers(4, 5))
    assert "two.npz: it holds no array 'right'" in refused(capsys, "two.keras", "two.npz")
    np.savez("two.npz", left=numbers(4, 5), right=numbers(4, 6, 1))
    line = refused(capsys, "two.keras", "two.npz")
    assert "two.npz: array 'right' has shape (4, 6, 1); input 'right'" in line
    assert "takes (any, 5, 1)" in line


def test_of_many_samples_some_are_inspected(folder, capsys):
    stateful = sequential((6, 1), L.LSTM(2, stateful=True), batch=4)
    stateful.save("stateful.keras")
    np.save("waves.npy", waves(18, 6))
    np.save("many.npy", numbers(30))
    assert main(["model.keras", "many.npy", "--samples", "10"]) == 0
    assert "10 of 30 samples were inspected, evenly" in (folder / "report.html").read_text(
        encoding="utf-8"
    )
    assert main(["stateful.keras", "waves.npy", "--samples", "10"]) == 0
    assert "8 of 18 samples were inspected, the first" in (folder / "report.html").read_text(
        encoding="utf-8"
    )
    assert "18 samples leave 2 over" in capsys.readouterr().out
    np.save("waves.npy", waves(3, 6))
    assert "built for batches of 4" in refused(capsys, "stateful.keras", "waves.npy")


def test_nothing_in_a_file_is_run(folder, capsys):
    np.savez("pickled.npz", x=np.array([print, 1], object))
    assert "array 'x' holds pickled objects" in refused(capsys, "model.keras", "pickled.npz")
    np.save("pickled.npy", np.array([print, 1], object))
    assert "pickled objects" in refused(capsys, "model.keras", "pickled.npy")
    touched = folder / "touched"
    code = f"(__import__('pathlib').Path({str(touched)!r}).touch(), x)[1]"
    own = sequential((None, 2), L.Lambda(eval(f"lambda x: {code}")), L.LSTM(2))
    for name in ("lambda.keras", "lambda.h5"):
        own.save(name)
        touched.unlink()
        line = refused(capsys, name, "data.npz")
        assert f"{name}: it holds a Lambda layer" in line
        assert "--trust" in line
        assert not touched.exists()
        assert main([name, "data.npz", "--trust"]) == 0
        capsys.readouterr()
        assert touched.exists()
    with h5py.File("lambda.h5", "r+") as file:
        told = file.attrs["model_config"].replace('"Lambda"', '"Lambd\\u0061"')
        file.attrs["model_config"] = told
    assert "it holds a Lambda layer" in refused(capsys, "lambda.h5", "data.npz")


@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_functions_of_ones_own(folder, capsys, monkeypatch, kind):
    text = "import keras\nfrom numpy import tanh\ndef own(x):\n    return 2 * keras.ops.tanh(x)\n"
    text += "class Ones(keras.initializers.Ones):\n    pass\n"
    (folder / "own_functions_of_a_test.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    import own_functions_of_a_test as own

    layer = L.LSTM(2, activation=own.own, kernel_initializer=own.Ones())
    with keras.saving.custom_object_scope({"own": own.own, "Ones": own.Ones}):
        model = sequential((6, 2), L.Bidirectional(layer))
    model.save(f"own.{kind}")
    monkeypatch.delitem(sys.modules, "own_functions_of_a_test")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(folder)])
    line = refused(capsys, f"own.{kind}", "data.npz")
    assert "a class or function of one's own; name its module with --import" in line
    loaded = load_model(Path(f"own.{kind}"), modules=["own_functions_of_a_test"])
    np.testing.assert_array_equal(
        loaded.predict(numbers(), verbose=0), model.predict(numbers(), verbose=0)
    )


def test_classes_of_ones_own(folder, capsys, monkeypatch):
    text = "import keras\nclass Doubled(keras.layers.Layer):\n    def call(self, x):\n"
    (folder / "own_layers_of_a_test.py").write_text(
        text + "        return 2 * x\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(folder)
    from own_layers_of_a_test import Doubled

    sequential((None, 2), Doubled(), L.LSTM(2)).save("own.keras")
    monkeypatch.delitem(sys.modules, "own_layers_of_a_test")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one != str(folder)])
    line = refused(capsys, "own.keras", "data.npz")
    assert (
        "it needs 'Doubled', a class or function of one's own; name its module with --import"
        in line
    )
    assert main(["own.keras", "data.npz", "--import", "own_layers_of_a_test"]) == 0
    capsys.readouterr()
    line = refused(capsys, "own.keras", "data.npz", "--import", "no_such_module")
    assert "--import no_such_module: it can't be imported" in line


def save(folder, name, content):
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        pd.DataFrame(content).to_csv(path, index=False)
    else:
        np.save(path, content)
    return name


def zipped(content):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("x.npy", content)
    return memory.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.npy", b"", "a.npy: it is empty"),
        ("a.npz", b"no archive", "a.npz can't be read as NumPy wrote it"),
        ("a.npz", zipped(b"no array"), "a.npz"),
        ("a.csv", b"\n\n", "a.csv: it can't be read as a table"),
        ("a.csv", {"a": [], "b": []}, "a.csv: it holds no row"),
        ("a.csv", {"a": ["u", "v"], "b": [1, 2]}, "column 'a' holds"),
        ("a.csv", {"a": [1.0, None], "b": [1, 2]}, "column 'a' is empty in 1 rows"),
        ("a.csv", {"a": [1, 2]}, "a.csv: its 1 columns of features (a) has shape (1, 2, 1); input"),
        ("a.csv", b"a;b\n1;2\n", "its one column is 'a;b'; separate columns by commas"),
        ("a.csv", b",a,b\n0,1,2\n", "column 1 has no name"),
        ("a.csv", b"0.5,-1e-3\n1,2\n", "its first line holds numbers; it must name the columns"),
        ("a.csv", b"a,b\n1,2,3\n4,5,6\n", "a.csv: it can't be read as a table"),
        ("a.parquet", b"no table", "a.parquet: it can't be read as a table"),
        ("a.npy", np.zeros((4, 3)), "a.npy: the array has shape (4, 3); input"),
        ("a.npy", np.zeros((4, 0, 2)), "without an empty axis"),
        ("a.npy", np.array([["a", "b"]]), "a.npy: the array holds <U1 values"),
        ("a.txt", b"1", "a.txt: it must be one of .npz, .npy, .csv, .parquet"),
    ],
)
def test_data_that_do_not_fit_are_refused(folder, capsys, name, content, said):
    assert said in refused(capsys, "model.keras", save(folder, name, content))


def test_other_faults_in_one_line(folder, capsys, model):
    (folder / "torn.keras").write_bytes((folder / "model.keras").read_bytes()[:500])
    (folder / "torn.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    model.save_weights("only.weights.h5")
    for arguments, said in [
        (("none.keras", "data.npz"), "none.keras: there is no such file"),
        (("torn.keras", "data.npz"), "torn.keras: it is no .keras file"),
        (("torn.h5", "data.npz"), "torn.h5: Keras can't load it"),
        (("only.weights.h5", "data.npz"), "only.weights.h5: it holds weights alone"),
        (("data.npz", "data.npz"), "data.npz: it must be a model of Keras"),
        (("model.keras", "data.npz", "--labels", "no"), "no array 'no' of labels"),
        (("model.keras", "data.npz", "--tokens", "no"), "no: there is no such file"),
        (("model.keras", "data.npz", "--out", "no/r.html"), "there is no folder no"),
        (("model.keras", "data.npz", "--samples", "0"), "samples is 0"),
        (("model.keras",), "the following arguments are required: data"),
    ]:
        assert said in refused(capsys, *arguments)
    sequential((None, 2), L.Dense(1)).save("dense.keras")
    assert "no recurrent layer" in refused(capsys, "dense.keras", "data.npz")


def test_a_report_replaces_nothing_that_it_is_about(folder, capsys):
    for name in ("model.keras", "data.npz"):
        line = refused(capsys, "model.keras", "data.npz", "--out", name)
        assert f"--out {name}: the report would replace what it is about" in line
    assert "it is a folder" in refused(capsys, "model.keras", "data.npz", "--out", ".")


@pytest.mark.parametrize("damage", [b"PK\x01\x02", b"x.npy"])
def test_a_damaged_archive_is_named(folder, capsys, damage):
    np.savez_compressed("a.npz", x=padded())
    held = bytearray((folder / "a.npz").read_bytes())
    at = held.rindex(damage)
    held[at : at + 3] = b"???"
    held[60:90] = bytes(30)  # of what is compressed
    (folder / "a.npz").write_bytes(held)
    assert "a.npz" in refused(capsys, "model.keras", "a.npz")


def test_numbers_that_an_embedding_has_no_row_for(folder, capsys):
    words = sequential((None,), L.Embedding(9, 2, name="words"), L.GRU(3))
    words.save("words.keras")
    for wrong in (9, -1, 2**32 + 1, 1.5):
        codes = np.ones((4, 5), type(wrong))
        codes[2, 1] = wrong
        np.save("codes.npy", codes)
        line = refused(capsys, "words.keras", "codes.npy")
        assert f"holds {wrong} in sample 2; layer 'words' takes whole numbers from 0 to 8" in line
    x = keras.Input((5,))
    keras.Model(x, keras.Sequential([keras.Input((5,)), *words.layers])(x)).save("nested.keras")
    np.save("codes.npy", np.full((4, 5), 9))
    line = refused(capsys, "nested.keras", "codes.npy")
    assert "GatherV2: indices[0,0] = 9 is not in [0, 9)" in line


def test_lines_of_texts(folder):
    (folder / "words.txt").write_text("a\u2028b\nc\x85\n", encoding="utf-8-sig")
    assert read_tokens(folder / "words.txt") == ["a\u2028b", "c\x85"]
    (folder / "labels.txt").write_text("0.5\n-1\n", encoding="utf-8")
    np.testing.assert_array_equal(read_labels(folder / "labels.txt"), [0.5, -1])
    (folder / "latin.txt").write_text("\u00e9\n", encoding="latin-1")
    with pytest.raises(ValueError, match=r"latin\.txt: it is no text in UTF-8"):
        read_labels(folder / "latin.txt")


def test_inputs_that_are_called_like_labels_and_a_mask(folder):
    one, two = keras.Input((5, 2), name="mask"), keras.Input((5, 1), name="y")
    model = keras.Model([one, two], L.LSTM(2)(L.Concatenate()([one, two])))
    np.savez("two.npz", mask=numbers(4, 5), y=numbers(4, 5, 1), labels=np.arange(4))
    read = read_data(Path("two.npz"), model)
    assert (read.mask, list(read.labels)) == (None, [0, 1, 2, 3])


def test_an_index_of_samples_is_a_column(folder, model):
    table = pd.DataFrame(numbers(1, 8)[0], columns=["a", "b"])
    table.set_index(pd.Index([0] * 4 + [1] * 4, name="sample")).to_parquet("data.parquet")
    assert read_data(Path("data.parquet"), model).x.shape == (2, 4, 2)


def test_labels_must_fit(folder, capsys):
    (folder / "few.txt").write_text("a\nb\n", encoding="utf-8")
    line = refused(capsys, "model.keras", "data.npz", "--labels", "few.txt")
    assert "labels has shape (2,); it must be (8,)" in line
    table = {"a": [1, 2], "b": [1, 2], "sample": [0, 0], "c": ["u", "v"]}
    pd.DataFrame(table).to_csv("t.csv", index=False)
    np.save("data.npy", numbers())
    line = refused(capsys, "model.keras", "data.npy", "--labels", "typo.txt")
    assert "--labels typo.txt: there is no such file" in line
    line = refused(capsys, "model.keras", "t.csv", "--labels", "c")
    assert "column 'c' must hold one label in all rows of a sample" in line


def test_the_command_of_the_repository_is_the_same(folder, capsys):
    from experiments.cli import inspect

    assert inspect.main(["model.keras", "data.npz"], standalone_mode=False) == 0
    assert capsys.readouterr().out.endswith("wrote report.html (wrong 1, risk 1, note 1)\n")
