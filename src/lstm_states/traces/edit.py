"""One edit of a quantity of recurrent layers: what users write down."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from hashlib import sha256
from numbers import Integral
from types import FunctionType
from typing import Any, TypeAlias

import numpy as np

from lstm_states.cells import is_start

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

    A ConvLSTM and a custom cell take a step in one piece: there, an edited first state changes the
    layer's output of its step, if that is what the cell shows, and all else the steps after it.

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
            batch, feature)``), made of TensorFlow or Keras operations. It sees all units.
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
        takes_numbers = self.action in ("set", "add", "scale")
        if takes_numbers and _kind_of_numbers(self.value) not in "fiub":
            raise ValueError(
                f"{self}: {self.action} is {self.value!r}; it must be a number or an array of "
                "numbers"
            )
        if self.clamp is not None:
            self._check_clamp()
        if self.swap is not None and not _are_two_units(self.swap):
            raise ValueError(f"{self}: swap is {self.swap!r}; it must be two different units")
        if self.function is not None and not isinstance(self.function, FunctionType):
            raise ValueError(
                f"{self}: function is {self.function!r}; it must be a Python function, made of "
                "TensorFlow's or Keras's operations"
            )
        if self.swap is not None and self.unit is not None:
            raise ValueError(f"{self} has swap and unit; swap names its units itself")
        if is_start(self.quantity) and (self.time is not None or self.hold):
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
        numbers = pair and all(
            v is None or (np.ndim(v) == 0 and _kind_of_numbers(v) in "fiu") for v in limits or ()
        )
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
    if isinstance(wanted, slice):
        ends = (wanted.start, wanted.stop, wanted.step)
        fits = wanted.step != 0 and all(e is None or isinstance(e, Integral) for e in ends)
    else:
        array = np.zeros(1, int) if wanted is None else np.asarray(wanted)
        fits = array.ndim < 2 and array.size > 0 and array.dtype.kind in "iu"
    if not fits:
        raise ValueError(
            f"{edit}: {axis} is {wanted!r}; it must be an integer, a slice or a sequence of them"
        )


def _described(value: Any) -> Any:
    if isinstance(value, slice):
        ends = (value.start, value.stop, value.step)
        return {"slice": [None if end is None else int(end) for end in ends]}
    if isinstance(value, FunctionType):
        return {"function": value.__qualname__, "sha256": _digest_of_code(value)}
    if isinstance(value, str | bool):
        return value
    if isinstance(value, tuple):  # the limits of a clamp
        return [None if limit is None else np.asarray(limit).item() for limit in value]
    array = np.asarray(value)
    if array.size <= _SHORT:
        return array.tolist()
    digest = sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": digest}


def _kind_of_numbers(value: Any) -> str:
    """Return NumPy's letter for the type of an array, which is not read, or of numbers."""
    if hasattr(value, "dtype"):
        return np.dtype(value.dtype).kind
    try:
        return np.asarray(value).dtype.kind
    except ValueError:  # rows of different lengths
        return "O"


def _digest_of_code(function: FunctionType) -> str:
    """Tell functions of one name apart, so that a store is not continued with another one."""
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    given = (function.__defaults__, function.__kwdefaults__, held)
    return sha256(marshal.dumps(function.__code__) + repr(given).encode()).hexdigest()
