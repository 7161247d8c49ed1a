"""The kinds of data sets. Each is a class in a module of this folder, which holds its parameters.

To add one, write a module here, and a section below ``datasets`` in params.yaml that names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from importlib import import_module
from operator import or_
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import xarray as xr
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.names import near_or_all
from notebook_pipeline.parameters.strict import Fraction, Strict


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise PydanticCustomError("plain_name", "use only letters, digits, _ and -")
    return name


DatasetName = Annotated[str, AfterValidator(_plain)]
"""What a data set may be called: DVC takes dots and @ apart, and folders are named after it."""


class DataSet(Strict):
    """The parameters of a kind of data set.

    Attributes:
        maker: The kind; a subclass allows one ``Literal``.
        source: The file of the data, or the file that names the package with the data.
    """

    maker: str
    source: str

    def make(self, raw: Path, root: Path) -> xr.Dataset:
        """Return the processed data, in one of the layouts of :mod:`experiments.data.schema`.

        Args:
            raw: The folder ``data/raw/<name>``, to be created for the raw files.
            root: The repository.

        Raises:
            DataError: naming the file, column or row that cannot be used.
        """
        raise NotImplementedError


class SplitByTime(DataSet):
    """A kind of data set whose parts follow each other in time."""

    train_fraction: Fraction = 0.6
    validation_fraction: Fraction = 0.1

    @model_validator(mode="after")
    def _leave_a_test_part(self) -> SplitByTime:
        if self.train_fraction + self.validation_fraction >= 1:
            raise ValueError(
                f"train_fraction {self.train_fraction} + validation_fraction "
                f"{self.validation_fraction} must leave a part for the test"
            )
        return self


Kind = TypeVar("Kind", bound=DataSet)

_KINDS: dict[str, type[DataSet]] = {}


def register(kind: type[Kind]) -> type[Kind]:
    """Register a kind of data set, so that params.yaml accepts it.

    Raises:
        ConfigError: if the ``maker`` is not the name of the module, on which the stage that makes
            the data depends, or if another class of the module has it.
    """
    module = kind.__module__.rpartition(".")[2]
    makers = get_args(kind.model_fields["maker"].annotation)
    if makers != (module,):
        named = " or ".join(map(repr, makers)) or "not a Literal"
        raise ConfigError(
            f"{kind.__module__}: the maker of {kind.__name__} is {named}; it must be the name of "
            f"the module, Literal[{module!r}]"
        )
    if module in _KINDS:
        raise ConfigError(
            f"{kind.__module__}: {_KINDS[module].__name__} and {kind.__name__} have the maker "
            f"{module!r}; a module makes one kind of data set"
        )
    _KINDS[module] = kind
    return kind


def any_data_set() -> Any:
    """Return the type of a section below ``datasets``: any registered kind."""
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        import_module(f"{__package__}.{path.stem}")
    return Annotated[reduce(or_, _KINDS.values()), Field(discriminator="maker")]


def unknown_data_sets(params: Any) -> Iterator[str]:
    """Yield the sections of params.yaml that name an unknown data set."""
    for name, section in params:
        dataset = getattr(section, "dataset", None)
        if dataset is not None and dataset not in params.datasets:
            yield f"{name}.dataset is {dataset!r}; {near_or_all(dataset, params.datasets)}"
