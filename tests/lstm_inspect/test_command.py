"""Files of every kind, hostile ones too: a report, or one line that says what is wrong."""

import io
import json
import os
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from lstm_inspect.command import main
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


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_a_file_of_keras_2(folder, model, capsys):
    """Keras 2 called the shape of an input otherwise, and named no modules."""
    model.save("old.h5")
    with h5py.File("old.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            for key in ("module", "registered_name", "build_config"):
                layer.pop(key, None)
            kept = {k: v for k, v in layer["config"].items() if not isinstance(v, dict)}
            if "batch_shape" in kept:
                kept["batch_input_shape"] = kept.pop("batch_shape")
            layer["config"] = kept
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.15.0"
    assert main(["old.h5", "data.npz"]) == 0
    assert capsys.readouterr().out.startswith("wrong: lstm: It reads padding as data")


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
    assert "class 'Doubled' of one's own; name its module with --import" in line
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
        ("a.csv", {"a": [1, 2]}, "a.csv: its 1 columns of features has shape (1, 2, 1); input"),
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


def test_labels_must_fit(folder, capsys):
    (folder / "few.txt").write_text("a\nb\n", encoding="utf-8")
    line = refused(capsys, "model.keras", "data.npz", "--labels", "few.txt")
    assert "labels has shape (2,); it must be (8,)" in line
    table = {"a": [1, 2], "b": [1, 2], "sample": [0, 0], "c": ["u", "v"]}
    pd.DataFrame(table).to_csv("t.csv", index=False)
    line = refused(capsys, "model.keras", "t.csv", "--labels", "c")
    assert "column 'c' must hold one label in all rows of a sample" in line


def test_the_command_of_the_repository_is_the_same(folder, capsys):
    from experiments.cli import inspect

    assert inspect.main(["model.keras", "data.npz"], standalone_mode=False) == 0
    assert capsys.readouterr().out.endswith("wrote report.html (wrong 1, risk 1, note 1)\n")
