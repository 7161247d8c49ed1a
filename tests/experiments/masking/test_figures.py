"""What masks do and what stands for missing numbers, as drawn."""

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex

from experiments.masking.figures import plot_encodings, plot_handover, plot_masks


def test_the_fate_of_a_mask_at_each_layer():
    evidence = xr.Dataset(
        {"mask_handed_on": ("model", [1.0, 0.0, 0.0]), "warned": ("model", [0.0, 1.0, 0.0])},
        coords={"model": ["Dense", "Reshape", "a + b"]},
    )
    [axis] = plot_handover(evidence).axes
    places = [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axis.lines]
    assert places == [(0, 0), (1, 1), (2, 2)]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["Dense", "Reshape", "a + b"]
    assert axis.get_title() == "1 of 3 pass the mask on; lost silently: a + b"


def test_masks_are_coloured_by_whether_they_are_taken():
    masks = {"behind": np.array([[True, False]]), "before": np.array([[False, True]])}
    about = {"long_name": "cuDNN takes the mask"}
    taken = xr.DataArray([1.0, 0.0], {"model": list(masks)}, attrs=about)
    [axis] = plot_masks(masks, taken).axes
    behind, before = axis.collections
    np.testing.assert_array_equal(behind.get_array().ravel(), [1, 0])
    np.testing.assert_array_equal(before.get_array().ravel(), [0, 1])
    assert to_hex(behind.cmap(1.0)) != to_hex(before.cmap(1.0))
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["behind", "before"]
    assert axis.get_title() == "cuDNN takes the mask: yes (behind); no (before)"


def test_every_seed_of_every_encoding_beside_the_bound():
    errors = xr.Dataset(
        {"test": (("encoding", "seed"), [[0.7, 0.8, 0.9], [0.6, 0.6, 0.7]]),
         "ridge": ("encoding", [0.75, 0.65])},
        coords={"encoding": ["0", "last value"]},
    )  # fmt: skip
    complete = xr.Dataset({"test": (("encoding", "seed"), [[0.5, 0.55, 0.52]])})
    about = {"long_name": "Test error with 0 over that with last value"}
    zeros = xr.Dataset({"ratio": ("model", [1.1, 1.2, 1.3], about)})
    figure = plot_encodings(errors, complete, zeros)
    [axis] = figure.axes
    seeds = [line.get_xdata() for line in axis.lines if line.get_marker() == "|"]
    np.testing.assert_array_equal(np.transpose(seeds), errors["test"])
    medians, ridge = (
        next(line.get_xdata() for line in axis.lines if line.get_marker() == m) for m in "oD"
    )
    np.testing.assert_array_equal(medians, [0.8, 0.6])
    np.testing.assert_array_equal(ridge, [0.75, 0.65])
    [band] = axis.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (0.5, 0.55)
    assert axis.get_title() == "Test error with 0 over that with last value: 1.1 to 1.3"
