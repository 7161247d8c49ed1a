from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from experiments.data.japanese_vowels import FILES, make_japanese_vowels
from experiments.data.schema import DataError

HEADER = "@problemName Vowels\n@timeStamps false\n@missing false\n@univariate false\n"
HEADER += (
    "@dimensions {dimensions}\n@equalLength false\n@classLabel true 1 2 3 4 5 6 7 8 9 x\n@data\n"
)


@pytest.fixture(scope="module")
def folder():
    spec = find_spec("aeon")
    if spec is None:
        pytest.skip("the data group is not installed")
    return Path(spec.origin).parent / "datasets" / "data" / "JapaneseVowels"


@pytest.fixture(scope="module")
def data(folder):
    return make_japanese_vowels(folder, validation_fraction=0.2, seed=0)


def test_the_parts_keep_the_official_split(data):
    part, speaker = data["part"].values, data["targets"].values[:, 0]
    np.testing.assert_array_equal(np.bincount(part), [216, 54, 370])
    assert (part[270:] == 2).all()
    # The official training set has 30 utterances of each speaker: 24 and 6 after the draw.
    np.testing.assert_array_equal(np.bincount(speaker[part == 0]), [24] * 9)
    np.testing.assert_array_equal(np.bincount(speaker[part == 1]), [6] * 9)
    np.testing.assert_array_equal(
        np.bincount(speaker[part == 2]), [31, 35, 88, 44, 29, 24, 40, 50, 29]
    )


def test_values_are_those_of_the_file(data):
    x, length = data["features"].values, data["length"].values
    assert x.shape == (640, 29, 12)
    assert length.min() == 7
    assert length.max() == 29
    assert length[0] == 20
    assert x[0, 0, 0] == np.float32(1.860936)
    assert data["targets"].values[0, 0] == 0
    assert (x[np.arange(29) >= length[:, None]] == 0).all()


def test_the_seed_decides_the_draw(folder, data):
    again, other = (
        make_japanese_vowels(folder, validation_fraction=0.2, seed=seed)["part"] for seed in (0, 1)
    )
    np.testing.assert_array_equal(again, data["part"])
    assert (other != data["part"]).any()


def test_the_share_is_that_of_every_speaker(folder):
    data = make_japanese_vowels(folder, validation_fraction=0.1, seed=0)
    speaker = data["targets"].values[data["part"].values == 1, 0]
    np.testing.assert_array_equal(np.bincount(speaker), [3] * 9)


def write(folder, *utterances, speaker="1", dimensions=12):
    """Write ``utterances (time, feature)`` as both files, all of one speaker."""
    rows = [
        ":".join(",".join(map(str, one)) for one in np.asarray(utterance).T) + f":{speaker}"
        for utterance in utterances
    ]
    for name in FILES:
        text = HEADER.format(dimensions=dimensions) + "\n".join(rows) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


def frames(length, features=12, **changes):
    values = np.arange(1.0, 1 + length * features).reshape(length, features)
    for row, value in changes.items():
        values[int(row.removeprefix("row_"))] = value
    return values


def test_small_files_are_read(tmp_path):
    write(tmp_path, frames(2), frames(3))
    data = make_japanese_vowels(tmp_path, validation_fraction=0.5, seed=0)
    np.testing.assert_array_equal(data["length"], [2, 3, 2, 3])
    np.testing.assert_array_equal(data["features"][1], frames(3))
    assert sorted(data["part"].values[:2]) == [0, 1]


@pytest.mark.parametrize(
    ("utterance", "options", "message"),
    [
        (frames(3, row_1=0.0), {}, r"TRAIN.ts: utterance 1, frame 1 is all zero"),
        (frames(3, row_2=np.inf), {}, r"TRAIN.ts: utterance 1, frame 2 is not finite"),
        (frames(3), {"speaker": "x"}, r"unknown speakers \['x'\]; allowed are 1, 2"),
    ],
)
def test_what_these_files_should_not_hold_is_named(tmp_path, utterance, options, message):
    write(tmp_path, frames(2), utterance, **options)
    with pytest.raises(DataError, match=message):
        make_japanese_vowels(tmp_path, validation_fraction=0.5, seed=0)


def test_too_few_coefficients_are_named(tmp_path):
    write(tmp_path, frames(2, 11), frames(3, 11), dimensions=11)
    with pytest.raises(DataError, match=r"utterance 0 has shape \(2, 11\), not \(1 or more, 12\)"):
        make_japanese_vowels(tmp_path, validation_fraction=0.5, seed=0)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"JapaneseVowels_TRAIN.ts"):
        make_japanese_vowels(tmp_path, validation_fraction=0.5, seed=0)
