import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from experiments.carrying_state.figures import plot_border_gradients

BORDER = xr.Dataset(
    {"gradient_before_stateful": ("model", [0.0, 0.5], {"long_name": "Left of the gradient"})}
)


def test_gradients_stop_at_the_border():
    gradient = np.arange(24.0).reshape(2, 3, 4)
    data = xr.Dataset(
        {"gradient": (("model", "carry", "step"), gradient)},
        coords={
            "model": ["trained", "seed 0"],
            "carry": ["whole", "handed over", "stateful"],
            "step": [-2, -1, 0, 1],
        },
    )
    figure = plot_border_gradients(data, BORDER)
    assert plt.get_fignums() == []
    assert figure.get_suptitle() == "Left of the gradient: 0 to 0.5"
    assert figure.get_supxlabel() == "thick: trained weights; thin: 1 random ones"
    assert figure.axes[0].get_ylabel() == "gradient of the last h\nby the input of a step"
    for place, axis in enumerate(figure.axes):
        assert axis.texts[0].get_text() == data["carry"].values[place]
        assert axis.get_xlabel() == "step, from the border"
        before_and_after = [line for line in axis.lines if len(line.get_xdata()) == 2][:4]
        for index, model in enumerate(("trained", "seed 0")):
            lines = [line for line in before_and_after if line.get_label() == model]
            np.testing.assert_array_equal(np.ravel([la.get_xdata() for la in lines]), data["step"])
            np.testing.assert_array_equal(
                np.ravel([la.get_ydata() for la in lines]), gradient[index, place]
            )
        assert len({line.get_color() for line in before_and_after}) == 2
        assert axis.lines[-1].get_xdata()[0] == -0.5
    assert figure.axes[0].get_ylim()[0] == 0


def test_of_one_stack_nothing_is_said_of_random_ones():
    data = xr.Dataset(
        {"gradient": (("model", "carry", "step"), np.ones((1, 1, 2)))},
        coords={"model": ["trained"], "carry": ["whole"], "step": [-1, 0]},
    )
    assert plot_border_gradients(data, BORDER).get_supxlabel() == ""
