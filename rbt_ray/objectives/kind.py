"""The kinds of objectives: `kind_of` determines once how to call an objective and what it provides."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, runtime_checkable

from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives.builtin.strategy import Strategy, SweptObjective
from rbt_ray.objectives.strategy_adapter import StrategyAdapter
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle
    from rbt_ray.data.file_tree import FileTree
    from rbt_ray.data.view import BundleView

F = TypeVar("F", bound=Callable[..., Any])
_BATCHED = "__rbt_batched__"
_PROVIDES = ("bundle", "files", "open")


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
    """How to call an objective, and what it provides.

    Args:
        takes: what one call scores: a "config", a list of "configs" (see `batched`), or "columns" (see `SweepObjective`).
        swept: the objective, if kernels score it.
        builtin: the objective, if it is a built-in strategy.
        adapter: the objective, if an adapter made it from another backtester's strategy.
        provider: the objective, if it provides its own data.
        constraints: constraints on its parameters or metrics, if it provides some.
    """

    takes: Literal["config", "configs", "columns"]
    swept: SweptObjective | None
    builtin: Strategy | None
    adapter: StrategyAdapter | None
    provider: DataProvider | None
    constraints: tuple[Any, ...] = ()


def kind_of(objective: Any) -> ObjectiveKind:
    """Returns the kind of an objective.

    Raises:
        ObjectiveError: it cannot be called, or it is a function that makes objectives.
    """
    takes: Literal["config", "configs", "columns"] = "config"
    if isinstance(objective, SweepObjective):
        takes = "columns"
    elif not callable(objective):
        raise ObjectiveError(
            f"`objective` is a function of (params, data) that returns a number, a dict of metrics or a Backtest; "
            f"got {objective!r} of type {type(objective).__name__}.{_built_in(objective)}"
        )
    elif _makes_objectives(objective):
        name = objective.__name__
        raise ObjectiveError(f"{name!r} makes an objective, it is none itself: pass what {name}(...) returns.")
    elif _is_batched(objective):
        takes = "configs"
    # `isinstance` with a protocol reads the properties, and `bundle` would load the data.
    missing = object()
    provides = all(inspect.getattr_static(objective, name, missing) is not missing for name in _PROVIDES)
    return ObjectiveKind(
        takes,
        objective if isinstance(objective, SweptObjective) else None,
        objective if isinstance(objective, Strategy) else None,
        objective if isinstance(objective, StrategyAdapter) else None,
        objective if provides else None,
        tuple(objective.constraints) if isinstance(objective, StrategyAdapter) else (),
    )


def _built_in(name: Any) -> str:
    """Returns how to write a built-in objective, if this is the name of one; otherwise an empty text."""
    from rbt_ray.objectives import BUILTIN

    return f" The built-in objective is rbt.objectives.{name}()." if name in BUILTIN else ""


def _makes_objectives(objective: Any) -> bool:
    """Returns whether this is such a function as `rbt.objectives.sma_cross`, without its parentheses."""
    public = inspect.isfunction(objective) and objective.__qualname__ == objective.__name__
    return public and (objective.__module__ or "").startswith(("rbt_ray.objectives.", "rbt_ray.adapters."))


def _is_batched(objective: Any) -> bool:
    while isinstance(objective, partial):
        objective = objective.func
    return bool(getattr(objective, _BATCHED, False))
