"""`search_alg` in its parts: who proposes configs, and how many at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rbt_ray.errors import NotSupportedError


@dataclass(frozen=True)
class Search:
    """What a user passed as `search_alg`.

    Args:
        searcher: as our engine takes it; None: samples in Ray Tune's order.
        max_concurrent: how many trials may be open at once; None: any number.
        points_to_evaluate: samples that come first.
        constant_grid_search: whether one draw serves all combinations of the grids.
    """

    searcher: Any = None
    max_concurrent: int | None = None
    points_to_evaluate: Sequence[Mapping[str, Any]] = ()
    constant_grid_search: bool = False

    @property
    def restored(self) -> Any:
        """What has to be passed to a restored study: an object; a name is in the journal."""
        return None if isinstance(self.searcher, str) else self.searcher


def searched(given: Any) -> Search:
    """The parts.

    Raises:
        NotSupportedError: it is one that has something better here.
    """
    kind, module = type(given).__name__, type(given).__module__
    if given is None or given == "variant_generator":
        return Search()
    if kind == "ConcurrencyLimiter" and module.startswith("ray.tune"):
        return Search(given.searcher, given.max_concurrent)
    if kind == "Repeater" and module.startswith("ray.tune"):
        raise NotSupportedError("Repeater is not supported; let the trainable return the mean of several runs.")
    if kind == "BasicVariantGenerator" and module.startswith("ray.tune"):
        return Search(
            None,
            given.max_concurrent or None,
            tuple(given._points_to_evaluate or ()),
            bool(given._constant_grid_search),
        )
    if kind == "TuneBOHB":
        raise NotSupportedError("TuneBOHB is not supported; use TuneConfig(search_alg='bohb').")
    return Search(given)
