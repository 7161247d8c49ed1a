"""One edit of a quantity of recurrent layers: what users write down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from hashlib import sha256
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

Places: TypeAlias = int | slice | Sequence[int] | None
"""Which samples, steps or units, as ``isel`` takes them; None is all."""

ACTIONS = ("set", "add", "scale", "clamp", "hold", "swap", "function")
"""What an edit does; each edit does one."""

AXES = ("sample", "time", "unit")

_SHORT = 64
"""Most numbers that a description of an edit holds; of more it holds their SHA-256."""


@dataclass(frozen=True, eq=False)
class Edit:
    """An edit of one quantity of recurrent layers, for ``edits=`` of a recording.

    The value is changed where it arises, so that everything later follows from the new one: an
    edited forget gate changes the cell state of its step, an edited cell state the hidden state of
    its step, and both change all later steps and all layers above. Masked steps run no gate and
    are not edited. The edits of one quantity apply in the order of the list.

    Args:
        layer: The address of a layer or of a container of layers, or a shell pattern.
        quantity: A quantity of a trace, such as ``"cell"`` or ``"forget_gate"``; ``"inputs"`` for
            what the layer is given, whose units are its features; ``"initial_hidden"``,
            ``"initial_cell"`` for what it starts from.
        set: The new value, a number or an array. A NumPy array broadcasts to the chosen part
            ``(sample, time, unit)``, as in ``values[sample][:, time][:, :, unit] = array``. A
            DataArray broadcasts by the names of its dimensions, each of which has the chosen
            samples, steps or units, or all of them. So ``set=other["lstm/cell"]`` takes the values
            of another trace, and ``set=other["lstm/cell"].mean("sample")`` their mean.
        add: What to add, like ``set``.
        scale: What to multiply by, like ``set``.
        clamp: The lowest and the highest value, ``(low, high)``; None for no limit.
        hold: True to keep the value of the step before, as the layer takes the steps: the last
            real one. A gate keeps its own value at the first real step.
        swap: Two units that exchange their values.
        function: A function of the values ``(batch, unit)`` of a step (of ``inputs``, ``(time,
            batch, feature)``), made of TensorFlow or Keras operations.
        sample: Which samples of ``x``; None is all.
        time: Which steps of the layer's input; None is all.
        unit: Which units; None is all.

    Raises:
        ValueError: if an argument can't be right; it says which.

    Example:
        >>> Edit("lstm_1", "cell", set=0.0, time=slice(10, 20), unit=[3, 5])
        >>> Edit("encoder/*", "forget_gate", clamp=(0.9, None))
        >>> Edit("lstm_1", "hidden", set=record_traces(model, other)["lstm_1/hidden"], time=7)
    """

    layer: str
    quantity: str
    _: KW_ONLY
    set: Any = None
    add: Any = None
    scale: Any = None
    clamp: tuple[float | None, float | None] | None = None
    hold: bool = False
    swap: tuple[int, int] | None = None
    function: Callable[[Any], Any] | None = None
    sample: Places = None
    time: Places = None
    unit: Places = None

    def __post_init__(self) -> None:
        """Refuse what can't be right, whatever the model is."""
        for name in ("layer", "quantity"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} of an edit is {getattr(self, name)!r}; it must be a text")
        given = [name for name in ACTIONS if self._does(name)]
        if len(given) != 1:
            raise ValueError(f"{self} has {given or 'no action'}; an edit needs one of {ACTIONS}")
        if self.action in ("set", "add", "scale"):
            kind = np.asarray(self.value).dtype.kind
            if kind not in "fiub":
                raise ValueError(f"{self}: {self.action} holds {kind!r}; it must hold numbers")
        if self.clamp is not None:
            self._check_clamp()
        if self.swap is not None and not _are_two_units(self.swap):
            raise ValueError(f"{self}: swap is {self.swap!r}; it must be two different units")
        if self.function is not None and not callable(self.function):
            raise ValueError(f"{self}: function is {self.function!r}; it must be a function")
        if self.swap is not None and self.unit is not None:
            raise ValueError(f"{self} has swap and unit; swap names its units itself")
        if self.quantity.startswith("initial_") and (self.time is not None or self.hold):
            wrong = "hold" if self.hold else "time"
            raise ValueError(f"{self} has {wrong}; what a layer starts from has no steps")
        for axis in AXES:
            _check_places(self, axis)

    @property
    def action(self) -> str:
        """Which of the :data:`ACTIONS` it does."""
        return next(name for name in ACTIONS if self._does(name))

    @property
    def value(self) -> Any:
        """What it does it with."""
        return getattr(self, self.action)

    def __str__(self) -> str:
        """Say it in short, for messages."""
        return f"Edit({self.layer!r}, {self.quantity!r})"

    def describe(self) -> dict[str, Any]:
        """Return what says which edit it is, as JSON; of many numbers their shape and SHA-256."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: _described(value)
            for name, value in given.items()
            if value is not None and not (name == "hold" and not value)
        }

    def _does(self, name: str) -> bool:
        value = getattr(self, name)
        return value is not None and value is not False

    def _check_clamp(self) -> None:
        limits = self.clamp
        pair = isinstance(limits, tuple | list) and len(limits) == 2
        numbers = pair and all(v is None or np.ndim(v) == 0 for v in limits or ())
        if not numbers or all(v is None for v in limits or ()):
            raise ValueError(
                f"{self}: clamp is {limits!r}; it must be (low, high), of which one may be None"
            )
        low, high = limits or (None, None)
        if low is not None and high is not None and low > high:
            raise ValueError(f"{self}: clamp is {limits!r}; the low limit is above the high one")


def _are_two_units(pair: Any) -> bool:
    integers = [isinstance(unit, int | np.integer) for unit in pair] if np.ndim(pair) == 1 else []
    return integers == [True, True] and pair[0] != pair[1]


def _check_places(edit: Edit, axis: str) -> None:
    wanted = getattr(edit, axis)
    if wanted is None or isinstance(wanted, slice):
        return
    array = np.asarray(wanted)
    if array.ndim > 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{edit}: {axis} is {wanted!r}; it must be an integer, a slice or a sequence of them"
        )


def _described(value: Any) -> Any:
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    if callable(value) and not isinstance(value, xr.DataArray):
        return getattr(value, "__qualname__", type(value).__qualname__)
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, tuple | list) and all(v is None or np.ndim(v) == 0 for v in value):
        return [None if v is None else np.asarray(v).item() for v in value]
    array = np.asarray(value)
    if array.size <= _SHORT:
        return array.tolist()
    digest = sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}
