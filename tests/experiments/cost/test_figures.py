import numpy as np
import xarray as xr

from experiments.cost.figures import plot_counted, plot_taken

PASSED = xr.DataArray(
    [1.0, 0.0], {"model": ["100 steps", "1000 steps"]}, attrs={"long_name": "It is slow"}
)


def made(unit="MB"):
    about = {"long_name": "Time for one call", "units": "s"}
    counted = {"long_name": "Steps computed", "units": unit}
    return xr.Dataset(
        {
            "taken": (("case", "way", "round"), np.arange(1.0, 13).reshape(2, 2, 3), about),
            "counted": (("case", "way"), [[100.0, 1.0], [1000.0, 1.0]], counted),
        },
        coords={"case": ["100 steps", "1000 steps"], "way": ["recomputed", "kept"]},
    )


def test_counts_of_both_ways_with_what_was_passed():
    figure = plot_counted(made(), PASSED)
    [axis] = figure.axes
    widths = [[bar.get_width() for bar in bars] for bars in axis.containers]
    assert widths == [[100, 1000], [1, 1]]
    assert [text.get_text() for text in axis.texts] == ["100", "1,000", "1", "1"]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["100 steps\nlimit passed", "1000 steps\nlimit not passed"]
    assert axis.get_title() == "It is slow: yes (100 steps); no (1000 steps)"
    assert axis.get_xlabel() == "Steps computed (MB)"


def test_what_has_no_unit_shows_none():
    figure = plot_counted(made("1"), PASSED)
    assert figure.axes[0].get_xlabel() == "Steps computed"


def test_every_round_with_its_median():
    costs = made()
    figure = plot_taken(costs["taken"])
    [axis] = figure.axes
    rounds, medians = axis.lines[0::2], axis.lines[1::2]
    drawn = np.array([line.get_xdata() for line in rounds])
    expected = costs["taken"].transpose("way", "case", "round").values.reshape(4, 3)
    np.testing.assert_array_equal(drawn, expected)
    assert [float(line.get_xdata()[0]) for line in medians] == expected[:, 1].tolist()
    assert (
        axis.get_title()
        == "Time for one call, recomputed to kept: 0.4 (100 steps), 0.73 (1000 steps)"
    )
    assert axis.get_xlabel() == "Time for one call (s); black: median"
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == ["recomputed", "kept"]
