"""Japanese vowels: 640 short utterances of nine speakers, as padded sequences.

Each utterance is a series of 7 to 29 frames of 12 LPC cepstrum coefficients, and the task is to
name the speaker. The files come with the package aeon, in their official split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr

from experiments.data.catalogue import DataSet, register
from experiments.data.parts import split_by_class
from experiments.data.raw import obtain
from experiments.data.schema import PARTS, DataError
from notebook_pipeline.parameters.strict import Fraction, Seed

FILES = ("JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts")

COEFFICIENTS = 12
"""LPC cepstrum coefficients in one frame."""

SPEAKERS = tuple(str(number) for number in range(1, 10))
"""Class labels as the files spell them; a target holds an index into this tuple."""


@register
class JapaneseVowels(DataSet):
    """The utterances of nine speakers; a part of the official training set is for validation."""

    maker: Literal["japanese_vowels"]
    source: Literal["data/sources.yaml"]
    validation_fraction: Fraction
    seed: Seed

    def make(self, raw: Path, root: Path) -> xr.Dataset:
        """Copy the files and return their utterances."""
        obtained = obtain(self.maker, root / self.source, raw)
        return make_japanese_vowels(obtained, **self.model_dump(exclude={"maker", "source"}))


def make_japanese_vowels(folder: Path, *, validation_fraction: float, seed: int) -> xr.Dataset:
    """Read both files and assign the parts; the official test split stays the test part.

    Args:
        folder: Folder with ``JapaneseVowels_TRAIN.ts`` and ``JapaneseVowels_TEST.ts``.
        validation_fraction: Share of every speaker's training utterances to hold out.
        seed: Seed of the draw of the validation part.

    Returns:
        Layout ``sequences``: ``features (sample, time, feature)`` float32, 0.0 from
        ``length (sample)`` on; ``targets (sample, target)`` int32, 0 to 8; ``part (sample)``.

    Raises:
        DataError: if an utterance or label is invalid for these files.
    """
    utterances, speakers = _read(folder / FILES[0])
    part = split_by_class(speakers, validation_fraction, seed)
    test_utterances, test_speakers = _read(folder / FILES[1])
    part = np.append(part, np.full(len(test_speakers), PARTS.index("test"), np.int8))
    return _dataset(utterances + test_utterances, np.append(speakers, test_speakers), part)


def _read(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the utterances, each ``(time, feature)`` float32, and speakers ``(sample)`` int32."""
    from aeon.datasets import load_from_ts_file

    try:
        series, labels = load_from_ts_file(str(path))
    except (OSError, ValueError) as error:  # what aeon raises for ragged or unreadable rows
        raise DataError(f"{path}: {error}") from error
    unknown = sorted(set(labels.tolist()) - set(SPEAKERS))
    if unknown:
        raise DataError(f"{path}: unknown speakers {unknown}; allowed are {', '.join(SPEAKERS)}")
    utterances = [np.asarray(one, np.float32).T for one in series]
    for index, frames in enumerate(utterances):
        _check_utterance(frames, f"{path}: utterance {index}")
    return utterances, np.array([SPEAKERS.index(label) for label in labels], np.int32)


def _check_utterance(frames: np.ndarray, name: str) -> None:
    """Refuse ``frames (time, feature)`` that can't be used; a masked model would skip zeros."""
    if frames.ndim != 2 or frames.shape[1] != COEFFICIENTS or len(frames) == 0:
        raise DataError(f"{name} has shape {frames.shape}, not (1 or more, {COEFFICIENTS})")
    for bad, what in ((~np.isfinite(frames).all(1), "not finite"), (~frames.any(1), "all zero")):
        if bad.any():
            raise DataError(f"{name}, frame {int(bad.argmax())} is {what}")


def _dataset(utterances: list[np.ndarray], speakers: np.ndarray, part: np.ndarray) -> xr.Dataset:
    """Pad ``utterances`` with 0.0 to the longest one; the other arrays are ``(sample)``."""
    length = np.array([len(frames) for frames in utterances], np.int32)
    frame = np.arange(length.max())
    features = np.zeros((len(length), len(frame), COEFFICIENTS), np.float32)
    features[frame < length[:, None]] = np.concatenate(utterances)
    names = [f"lpc_{number:02d}" for number in range(1, COEFFICIENTS + 1)]
    return xr.Dataset(
        {
            "features": (("sample", "time", "feature"), features),
            "targets": (("sample", "target"), speakers[:, None]),
            "length": ("sample", length, {"units": "frames"}),
            "part": ("sample", part, {"long_name": f"index into {', '.join(PARTS)}"}),
        },
        coords={
            "feature": names,
            "feature_unit": ("feature", ["1"] * COEFFICIENTS),
            "target": ["speaker"],
            "target_unit": ("target", ["speaker 1 to 9, counted from 0"]),
        },
        attrs={
            "layout": "sequences",
            "title": "Japanese vowels",
            "description": "Nine speakers say two vowels; a step holds 12 LPC cepstrum "
            "coefficients. The split into training and test utterances is the official one.",
            "source": "Kudo, Toyama and Shimbo (1999), Pattern Recognition Letters 20, "
            "1103-1111; UCI Machine Learning Repository; files of the package aeon",
        },
    )
