"""What tests of figures share."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

TITLE = "What the figure shows"


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    """An open figure would be shown twice in a notebook."""
    yield
    assert plt.get_fignums() == []


def xy(line):
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def legend(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def title_of(figure):
    return figure.get_suptitle() or figure.axes[0].get_title()
