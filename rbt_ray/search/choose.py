"""Which search a study uses, and how many configs it may propose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rbt_ray.search.bohb import BOHB
from rbt_ray.search.registry import BUILT_IN, SearchKind, search_kind_of
from rbt_ray.search.searcher import Searcher
from rbt_ray.study.space import Space

AUTO = BOHB(model="tpe")
"""The settings of "auto" for a space that is no grid: docs/decisions compares them with BOHB's own model."""
_SAMPLES = 100


@dataclass(frozen=True, slots=True)
class SearchChoice:
    """The search that a study uses.

    Args:
        kind: its kind.
        options: its settings that are not defaults.
        num_samples: how many new configs it may propose; None: no limit.
        why: why "auto" chose it; "" if the user did.
    """

    kind: SearchKind
    options: dict[str, Any]
    num_samples: int | None
    why: str = ""


def choose(
    search_alg: Any, space: Space, num_samples: int | None, max_cost: float | None, n_rungs: int
) -> SearchChoice:
    """Returns the search that a user's `search_alg` stands for in a space.

    Args:
        search_alg: as the user gave it. "auto" stands for a grid if the whole space fits the user's limits (any finite space
            if there are none), else for the model search.
        space: the space to search.
        num_samples: the user's limit; None: the whole grid, as many as `max_cost` allows, or 100.
        max_cost: the user's limit.
        n_rungs: the number of fidelities.
    """
    kind = search_kind_of(search_alg)
    default = _SAMPLES if num_samples is None and max_cost is None else num_samples
    if isinstance(search_alg, BOHB):
        return SearchChoice(kind, asdict(search_alg), default)
    if isinstance(search_alg, Searcher) or kind.name == "grid":  # each knows when it is done
        return SearchChoice(kind, {}, num_samples)
    if kind.name != "auto":
        return SearchChoice(kind, {}, default)
    size, limit = space.size, min((most for most in (num_samples, max_cost) if most is not None), default=None)
    if size is not None and (limit is None or size <= limit):
        return SearchChoice(BUILT_IN["grid"], {}, num_samples, f"auto: grid, as the whole space has {size:,} configs.")
    uncounted = "more configs than can be counted" if space.is_finite else "infinitely many configs"
    has = uncounted if size is None else _more(size, num_samples, max_cost)
    why = f"auto: bohb with the model of TPE {_over(n_rungs)}, as the space has {has}."
    return SearchChoice(BUILT_IN["bohb"], asdict(AUTO), default, why)


def _over(n_rungs: int) -> str:
    return f"over {n_rungs} fidelities" if n_rungs > 1 else "at full fidelity"


def _more(size: int, num_samples: int | None, max_cost: float | None) -> str:
    bound = f"num_samples is {num_samples:,}" if num_samples is not None else f"max_cost is {max_cost:g}"
    return f"{size:,} configs and {bound}"
