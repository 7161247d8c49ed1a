"""Who is compared, one module each.

A module has ``prepare(case, inputs)``, which returns a function that does the work once, and
``arrays(result)``, which names what the work returned as :func:`bench.inputs.reference` does.
``PACKAGES`` are the distributions whose versions matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

OURS = "lstm_states"

LEADERS = {
    "record": OURS,
    "train": "accelerated",
    "predict": "accelerated",
    "epoch": "accelerated",
    "step": "session",
}
"""By kind of work, which competitor is this project's own."""

_TRAINING = ("train", "predict", "epoch")


class CannotDoError(Exception):
    """This competitor has no way to do this case; it isn't an error."""


@dataclass(frozen=True)
class Competitor:
    """One way to get at the states.

    Attributes:
        name: Short and unique.
        title: How a table calls it.
        what: What it does and gives, in a sentence.
        module: The Python module that does it.
        folder: The folder under ``bench/.env`` that `make bench-env` installs it into; empty where
            the project's own environment has all it needs.
        slow: Whether it runs in the few cases marked ``loops`` alone.
        works: The kinds of work that it does.
    """

    name: str
    title: str
    what: str
    module: str
    folder: str = ""
    slow: bool = False
    works: tuple[str, ...] = ("record",)


def _ours(name: str, title: str, what: str, **options: Any) -> Competitor:
    return Competitor(name, title, what, f"bench.competitors.{name}", **options)


COMPETITORS = (
    _ours(
        OURS,
        "record_traces",
        "All six quantities of all layers, the mask and the outputs, as a labelled tree.",
    ),
    _ours(
        "last_state",
        "record_traces, one state",
        "The last hidden state of the last layer alone, selected by layers=, quantities=, isel=.",
    ),
    _ours("predict", "model.predict", "The model's outputs alone, with Keras's usual call."),
    _ours(
        "predict_on_batch",
        "predict_on_batch",
        "The outputs alone, without the data pipeline and progress bar of predict.",
    ),
    _ours(
        "rnn_cell",
        "RNN(cell)",
        "Every layer rebuilt as keras.layers.RNN over a cell that emits all six quantities; "
        "predict_on_batch.",
    ),
    _ours(
        "submodel",
        "sub-model",
        "The layers rebuilt with return_sequences and return_state: every h, the last c; "
        "predict_on_batch.",
    ),
    _ours(
        "eager_loop",
        "LSTMCell loop",
        "An eager Python loop over the layers' own LSTMCell: every h and c, no gates.",
        slow=True,
    ),
    _ours(
        "torch_loop",
        "PyTorch LSTMCell loop",
        "A Python loop over torch.nn.LSTMCell: every h and c, no gates.",
        folder="torch",
        slow=True,
    ),
    _ours(
        "torch_lstm",
        "PyTorch nn.LSTM",
        "torch.nn.LSTM layer by layer: every h, no c, no gates; packed where padded.",
        folder="torch",
    ),
    _ours("keract", "keract", "keract.get_activations: every layer's output.", folder="inspectors"),
    _ours("see_rnn", "see-rnn", "see_rnn.get_outputs: every layer's output.", folder="inspectors"),
    _ours(
        "accelerated",
        "accelerated",
        "A stock Keras model after accelerate(model); one thread within an operation.",
        works=_TRAINING,
    ),
    _ours(
        "accelerated_default",
        "accelerated, default threads",
        "The same with TensorFlow's own choice of threads.",
        works=_TRAINING,
    ),
    _ours(
        "stock",
        "stock Keras",
        "train_on_batch, predict_on_batch or fit of the stock model.",
        works=_TRAINING,
    ),
    _ours(
        "stock_one_thread",
        "stock Keras, one thread",
        "The same with one thread within an operation.",
        works=_TRAINING,
    ),
    _ours(
        "torch_training",
        "PyTorch, trained",
        "torch.nn.LSTM or nn.GRU with Adam; the outputs alone in inference mode; packed where "
        "padded.",
        folder="torch",
        works=("train", "predict"),
    ),
    _ours(
        "session",
        "StreamingSession",
        "One step after the other with StreamingSession.step: the outputs of each.",
        works=("step",),
    ),
    _ours(
        "stateful",
        "stateful layers",
        "predict_on_batch of a model with stateful layers, for one step after the other.",
        works=("step",),
    ),
)

PIECES = _ours(
    "pieces",
    "accelerated, in pieces of 100 steps",
    "Truncated back-propagation: a stateful twin carries the states from piece to piece.",
    works=("train",),
)
"""What only the memory of training is compared with: its gradients are others."""
