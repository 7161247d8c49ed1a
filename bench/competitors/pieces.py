"""The accelerated model, trained on pieces along time that carry the states."""

from collections.abc import Callable

import tensorflow as tf

from bench.cases import Case
from bench.competitors.keras_stack import build_model
from bench.inputs import Inputs
from lstm_states import accelerate, reset_states, stateful_twin

STEPS = 100

tf.config.threading.set_intra_op_parallelism_threads(1)


def prepare(case: Case, inputs: Inputs) -> Callable[[], None]:
    """Return a function that trains on one batch, piece after piece."""
    whole = build_model(case, inputs)
    whole.compile("adam", "mse")
    model = stateful_twin(whole, batch_size=case.batch)
    accelerate(model)

    def train() -> None:
        reset_states(model)
        for start in range(0, case.steps, STEPS):
            model.train_on_batch(inputs.x[:, start : start + STEPS], inputs.y)

    return train
