"""The kinds of objectives: `kind_of` finds out once how an objective is called and what it brings."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives.builtin.strategy import Strategy
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.file_tree import FileTree
    from rbt_ray.data.view import BundleView

F = TypeVar("F", bound=Callable[..., Any])
_BATCHED = "__rbt_batched__"
_PROVIDES = ("bundle", "files", "open")


@dataclasses.dataclass(frozen=True)
class StrategyAdapter(ABC):
    """Base class of the objectives of `rbt_ray.adapters`: a frozen dataclass whose fields are its settings.

    Args:
        strategy: the user's class or function.
    """

    strategy: Any

    @property
    def title(self) -> str:
        """The names of the adapter and the strategy."""
        own = getattr(self.strategy, "__qualname__", type(self.strategy).__qualname__)
        return f"{type(self).__name__}({own})"

    @property
    def made_of(self) -> list[Any]:
        """Its identity for fingerprints: the settings, as functions, classes and text."""
        return [type(self).__name__, *(value if callable(value) else repr(value) for value in self.settings())]

    def settings(self) -> list[Any]:
        """Returns the values of all fields, the strategy first."""
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    @abstractmethod
    def check(self, names: Collection[str], bundle: Bundle | None) -> None:
        """Checks for faults that would fail every trial.

        Args:
            names: of the parameters.
            bundle: prices of the study.

        Raises:
            ObjectiveError: the strategy cannot be run with these parameters, or on these prices.
        """


@runtime_checkable
class DataProvider(Protocol):
    """The interface of an objective that is used without `bundle`.

    The `data` of a trial is a view of `bundle`. Its `index` has the first and last time of the run: a lower fidelity ends
    earlier, and a hold-out starts after the training bars.
    """

    @property
    def bundle(self) -> Bundle:
        """The bars. A resumed study compares their content."""
        ...

    @property
    def files(self) -> FileTree:
        """The files that workers on any host need."""
        ...

    def open(self, folder: Path) -> None:
        """Called on a worker before its first trial, with the folder that contains the files."""
        ...


def batched(objective: F) -> F:
    """Marks an objective that takes a list of params and returns a list of results in the same order.

    ```python
    @rbt.batched
    def objective(params, data):
        return [score(p, data) for p in params]
    ```
    """
    setattr(objective, _BATCHED, True)
    return objective


@runtime_checkable
class SweepObjective(Protocol):
    """An objective that scores columns of parameters in one pass, as the built-in ones do."""

    @property
    def params(self) -> tuple[str, ...]:
        """The names of its parameters."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics it computes by default."""
        ...

    def evaluate(
        self, data: BundleView, columns: Mapping[str, FloatArray], metrics: tuple[str, ...]
    ) -> Mapping[str, FloatArray]:
        """Returns metrics ``(n_configs,)`` by name, for parameters ``(n_configs,)`` by name."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectiveKind:
    """How an objective is called, and what it brings.

    Args:
        takes: what one call scores: a "config", a list of "configs" (see `batched`), or "columns" (see `SweepObjective`).
        builtin: the objective, if it is a built-in strategy.
        adapter: the objective, if an adapter made it from another backtester's strategy.
        provider: the objective, if it brings its own data.
    """

    takes: Literal["config", "configs", "columns"]
    builtin: Strategy | None
    adapter: StrategyAdapter | None
    provider: DataProvider | None


def kind_of(objective: Any) -> ObjectiveKind:
    """Returns the kind of an objective.

    Raises:
        ObjectiveError: it cannot be called.
    """
    takes: Literal["config", "configs", "columns"] = "config"
    if isinstance(objective, SweepObjective):
        takes = "columns"
    elif not callable(objective):
        raise ObjectiveError(
            f"`objective` is a function of (params, data) that returns a number, a dict of metrics or a Backtest; "
            f"got {objective!r} of type {type(objective).__name__}."
        )
    elif _is_batched(objective):
        takes = "configs"
    # `isinstance` with a protocol reads the properties, and `bundle` would load the data.
    missing = object()
    provides = all(inspect.getattr_static(objective, name, missing) is not missing for name in _PROVIDES)
    return ObjectiveKind(
        takes,
        objective if isinstance(objective, Strategy) else None,
        objective if isinstance(objective, StrategyAdapter) else None,
        objective if provides else None,
    )


def _is_batched(objective: Any) -> bool:
    while isinstance(objective, partial):
        objective = objective.func
    return bool(getattr(objective, _BATCHED, False))
