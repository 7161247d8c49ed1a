"""The three documented configurations, and an encoder-decoder, as compiled Keras models.

With default arguments, each of the three is exactly the documented model: LSTM layers of 64 and 32
units, a head of one linear unit, Adam and mean squared error.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import pandas as pd

from lstm_states.layers import check_model


def build_stacked(
    timesteps: int,
    features: int,
    *,
    units: Sequence[int] = (64, 32),
    head_units: int = 1,
    head_activation: str | None = None,
    loss: str = "mse",
    learning_rate: float = 0.001,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the stack that predicts from its last hidden state (Example 1).

    Args:
        timesteps: Length T of every sequence.
        features: Number F of features per timestep.
        units: Width of each LSTM layer, lowest first; its length is the depth of the stack.
        head_units: Width K of the dense head.
        head_activation: Activation of the head; None is linear.
        loss: Any Keras loss.
        learning_rate: Adam's step size.
        dropout: Share of each LSTM layer's inputs that training drops.

    Returns:
        A compiled model from ``(batch, T, F)`` to ``(batch, K)``.

    Raises:
        ValueError: if a size is not a positive whole number or ``units`` is empty.

    Example:
        >>> build_stacked(100, 8).output_shape
        (None, 1)
    """
    _check_sizes(timesteps=timesteps, features=features, head_units=head_units)
    layers = [
        keras.Input((timesteps, features)),
        *_lstm_layers(units, dropout, last_returns_sequences=False),
        keras.layers.Dense(head_units, activation=head_activation),
    ]
    return _compiled("stacked", layers, loss, learning_rate)


def build_intermediate_outputs(
    timesteps: int,
    features: int,
    *,
    units: Sequence[int] = (64, 32),
    head_units: int = 1,
    head_activation: str | None = None,
    loss: str = "mse",
    learning_rate: float = 0.001,
    dropout: float = 0.0,
) -> keras.Model:
    """Build the stack that predicts at every timestep (Example 2).

    Arguments and errors are those of :func:`build_stacked`.

    Returns:
        A compiled model from ``(batch, T, F)`` to ``(batch, T, K)``.

    Example:
        >>> build_intermediate_outputs(100, 8).output_shape
        (None, 100, 1)
    """
    _check_sizes(timesteps=timesteps, features=features, head_units=head_units)
    head = keras.layers.Dense(head_units, activation=head_activation)
    layers = [
        keras.Input((timesteps, features)),
        *_lstm_layers(units, dropout, last_returns_sequences=True),
        keras.layers.TimeDistributed(head),
    ]
    return _compiled("intermediate_outputs", layers, loss, learning_rate)


def build_variable_length(
    features: int,
    *,
    units: Sequence[int] = (64, 32),
    head_units: int = 1,
    head_activation: str | None = None,
    loss: str = "mse",
    learning_rate: float = 0.001,
    dropout: float = 0.0,
    mask_value: float = 0.0,
) -> keras.Model:
    """Build the masked stack for sequences of different lengths in one batch (Example 3).

    A timestep is skipped if all its features equal ``mask_value``. The other arguments and the
    errors are those of :func:`build_stacked`.

    Returns:
        A compiled model from ``(batch, any T, F)`` to ``(batch, K)``.

    Example:
        >>> build_variable_length(8).input_shape
        (None, None, 8)
    """
    _check_sizes(features=features, head_units=head_units)
    layers = [
        keras.Input((None, features)),
        keras.layers.Masking(mask_value=mask_value),
        *_lstm_layers(units, dropout, last_returns_sequences=False),
        keras.layers.Dense(head_units, activation=head_activation),
    ]
    return _compiled("variable_length", layers, loss, learning_rate)


def build_encoder_decoder(
    features: int, target_features: int, *, units: Sequence[int] = (64, 32)
) -> keras.Model:
    """Build a stack that reads one sequence, and a stack of the same widths that continues from it.

    Layer n of the decoder starts from the final ``h`` and ``c`` of layer n of the encoder. The rest
    follows the defaults of :func:`build_stacked`.

    Args:
        features: Number F of features per timestep of the encoder's input.
        target_features: Number G of features per timestep of the decoder's input.
        units: Width of each LSTM layer, lowest first, in both stacks.

    Returns:
        A compiled model from ``[(batch, any S, F), (batch, any T, G)]`` to ``(batch, T, 1)``. Its
        layers are ``encoder``, ``encoder_1`` and so on, ``decoder``, ``decoder_1`` and so on.

    Raises:
        ValueError: if a size is not a positive whole number or ``units`` is empty.

    Example:
        >>> build_encoder_decoder(8, 2).output_shape
        (None, None, 1)
    """
    _check_sizes(features=features, target_features=target_features)
    read, given = keras.Input((None, features)), keras.Input((None, target_features))
    final = []
    sequence = read
    for layer in _lstm_layers(units, name="encoder"):
        layer.return_state = True
        sequence, *states = layer(sequence)
        final.append(states)
    sequence = given
    for layer, states in zip(_lstm_layers(units, name="decoder"), final, strict=True):
        sequence = layer(sequence, initial_state=states)
    model = keras.Model([read, given], keras.layers.Dense(1)(sequence), name="encoder_decoder")
    model.compile("adam", "mse")
    return model


def _lstm_layers(
    units: Sequence[int],
    dropout: float = 0.0,
    *,
    last_returns_sequences: bool = True,
    name: str = "lstm",
) -> list[keras.Layer]:
    if len(units) == 0:
        raise ValueError("units is empty; a stack needs one width per LSTM layer, such as (64, 32)")
    _check_sizes(**{f"units[{depth}]": width for depth, width in enumerate(units)})
    last = len(units) - 1
    # Named as Keras names them in a fresh session: the addresses of their traces don't depend on
    # what was built before.
    return [
        keras.layers.LSTM(
            width,
            return_sequences=depth < last or last_returns_sequences,
            dropout=dropout,
            name=f"{name}_{depth}" if depth else name,
        )
        for depth, width in enumerate(units)
    ]


def _compiled(name: str, layers: list[keras.Layer], loss: str, learning_rate: float) -> keras.Model:
    model = keras.Sequential(layers, name=name)
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=loss)
    return model


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} is {size!r}; it must be a whole number of at least 1")


def describe_layers(model: keras.Model) -> pd.DataFrame:
    """Return a table with class, output shape and number of weights of each layer of ``model``.

    Raises:
        TypeError: if ``model`` is not a model of the installed Keras.
    """
    check_model(model)
    return pd.DataFrame(
        [
            {
                "layer": layer.name,
                "class": type(layer).__name__,
                "output": " x ".join(str(size or "any") for size in layer.output.shape[1:]),
                "weights": layer.count_params(),
            }
            for layer in model.layers
        ]
    )
