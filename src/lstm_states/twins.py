"""Copy a model with its weights: stateless, stateful, or with a free number of steps."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any

import keras

from lstm_states.layers import check_model


def stateless_twin(model: keras.Model) -> keras.Model:
    """Copy a model to a stateless one that accepts any batch size.

    Args:
        model: Sequential or Functional; layers inside ``Bidirectional`` and nested models are
            copied, too.

    Returns:
        A model with the same weights. It is compiled if ``model`` is, with a new optimizer and new
        metrics. Custom losses, functions and classes need not be registered with Keras.

    Warns:
        UserWarning: with the reason, if the compile arguments of ``model`` cannot be copied; the
            twin is then not compiled.

    Raises:
        TypeError: if ``model`` is not a model of the installed Keras.
        ValueError: if Keras cannot copy ``model``; the message gives the reason and the solution.
    """
    return _twin(model, None)


def stateful_twin(model: keras.Model, *, batch_size: int) -> keras.Model:
    """Copy a model to one whose recurrent layers carry their states, in ``batch_size`` slots.

    A model trained on whole batches can then run on live data with one slot. All states are zero.
    Arguments, result and errors are those of :func:`stateless_twin`.
    """
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; it must be a whole number of at least 1")
    return _twin(model, batch_size)


def streaming_twin(model: keras.Model) -> keras.Model:
    """Copy a model with a fixed number of steps to a stateless one that accepts any number.

    A :class:`lstm_states.StreamingSession` needs such a model. Arguments, result and errors are
    those of :func:`stateless_twin`; the error names a layer that needs the number of steps.

    Example:
        >>> session = StreamingSession(streaming_twin(model))
    """
    check_model(model)
    shapes = [tuple(spec.shape) for spec in getattr(model, "inputs", None) or ()]
    return _twin(model, None, {shape[1] for shape in shapes if len(shape) > 1})


def _twin(
    model: keras.Model, batch_size: int | None, lengths: Collection[int | None] = ()
) -> keras.Model:
    """Copy ``model`` for another batch size, with inputs of one of the ``lengths`` left open."""
    check_model(model)
    try:
        rewriter = _Rewriter(_own_functions(model), batch_size, lengths)
        inputs = keras.tree.map_structure(
            lambda given: keras.Input(
                batch_shape=rewriter.shape(given.shape), dtype=given.dtype, name=given.name
            ),
            model.inputs if isinstance(model, keras.Sequential) else model.input,
        )
        with _uncompiled(model), _own_classes(model):
            twin = keras.models.clone_model(
                model, input_tensors=inputs, clone_function=rewriter.copied
            )
        twin.set_weights(model.get_weights())
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"model {model.name!r} can't be copied ({error}); build another one with the new "
            "input and copy the weights: twin.set_weights(model.get_weights())"
        ) from error
    if model.compiled:
        _compile_alike(twin, model)
    return twin


@dataclass(frozen=True)
class _Rewriter:
    """Rewrites the configs of layers, and of all layers inside them, for other inputs.

    Args:
        functions: Functions that Keras can't find again, each after what it is in a config.
        batch_size: The batch size of the inputs; None makes all layers stateless.
        lengths: Numbers of steps that are left open.
    """

    functions: Sequence[tuple[Any, FunctionType]]
    batch_size: int | None
    lengths: Collection[int | None]

    def shape(self, shape: Any) -> tuple[int | None, ...]:
        """Return the batch shape of an input in the place of ``shape``."""
        steps = [None if size in self.lengths else size for size in shape[1:2]]
        return (self.batch_size, *steps, *shape[2:])

    def copied(self, layer: keras.Layer) -> keras.Layer:
        """Return a copy of ``layer``."""
        named = {"class_name": type(layer).__name__, "config": _config(layer)}
        return type(layer).from_config(self._rewritten(named)["config"])

    def _rewritten(self, config: Any) -> Any:
        if isinstance(config, list | tuple):
            return type(config)(self._rewritten(part) for part in config)
        if not isinstance(config, dict):
            return config
        # Two functions of one name look alike: Keras says then that it can't find it.
        own = {id(function): function for kept, function in self.functions if kept == config}
        if len(own) == 1:
            return own.popitem()[1]
        if config.get("class_name") == "TimeDistributed" and self.lengths:
            return replace(self, lengths=())._rewritten(config)  # it takes the steps away
        # Built from these, a layer inside would have its states made for the old batch size.
        dropped = ("build_config", "build_input_shape")
        rewritten = {key: self._rewritten(v) for key, v in config.items() if key not in dropped}
        if isinstance(config.get("stateful"), bool):
            rewritten["stateful"] = self.batch_size is not None
        if isinstance(config.get("unroll"), bool) and self.lengths:
            rewritten["unroll"] = False  # which needs a fixed number of steps, and changes nothing
        if isinstance(config.get("batch_shape"), list | tuple):
            rewritten["batch_shape"] = self.shape(config["batch_shape"])
        return rewritten


def _config(layer: keras.Layer) -> dict[str, Any]:
    with warnings.catch_warnings():
        # What is kept of a lambda in the config isn't used: the function itself takes its place.
        warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
        return layer.get_config()


def _own_functions(model: keras.Model) -> list[tuple[Any, FunctionType]]:
    """Return the functions that layers were given, each after what it is in a config."""
    found = []
    for layer in model._flatten_layers():
        with suppress(NotImplementedError):  # a layer that is told of when it's copied
            config = _config(layer)
            given = {
                key: getattr(layer, key, None) for key, v in config.items() if isinstance(v, dict)
            }
            found += [(config[k], own) for k, own in given.items() if isinstance(own, FunctionType)]
    return found


@contextmanager
def _uncompiled(model: keras.Model) -> Iterator[None]:
    """Have Keras copy ``model`` as if it weren't compiled.

    It would compile the copy from a config, in which functions and classes of one's own are lost.
    """
    compiled, model.compiled = model.compiled, False
    try:
        yield
    finally:
        model.compiled = compiled


def _own_classes(model: keras.Model) -> Any:
    """Have Keras find the classes of the layers that aren't registered with it."""
    classes = {type(layer) for layer in model._flatten_layers()}
    own = [kind for kind in classes if not kind.__module__.startswith("keras.")]
    return keras.saving.custom_object_scope({kind.__name__: kind for kind in own})


def _compile_alike(twin: keras.Model, model: keras.Model) -> None:
    """Compile ``twin`` with what ``model`` was compiled with."""
    try:
        config: Mapping[str, Any] = model._compile_config.config
        twin.compile(**keras.tree.map_structure(_started_anew, dict(config)))
    except Exception as error:  # what users' classes may raise
        warnings.warn(
            f"the twin of model {model.name!r} is not compiled, since what the model was compiled "
            f"with can't be copied: {type(error).__name__}: {error}",
            stacklevel=4,
        )


def _started_anew(part: Any) -> Any:
    """Return a copy of an optimizer or a metric, and anything else, which has no state, itself."""
    if not isinstance(part, keras.Optimizer | keras.Metric):
        return part
    config = part.get_config()
    rate = getattr(part, "_learning_rate", None)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        config["learning_rate"] = rate  # a class of one's own gets lost in its config
    return type(part).from_config(config)
