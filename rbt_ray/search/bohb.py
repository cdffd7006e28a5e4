"""BOHB's sampler: its settings, the models it has and the engines that run them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rbt_ray.errors import SettingError
from rbt_ray.search.encoding import Encoding
from rbt_ray.search.kernel_model import KernelModel
from rbt_ray.search.model_sampler import Model, ModelSampler
from rbt_ray.search.random_draws import UniqueDraws
from rbt_ray.search.random_search import RandomSearch
from rbt_ray.search.sampler import Sampler
from rbt_ray.search.sobol import SobolSearch
from rbt_ray.study.space import Space

_FRACTIONS = {"kde": 1 / 3, "tpe": 0.1}


@dataclass(frozen=True, slots=True)
class BOHB:
    """Settings of the search that draws new configs by a model of the results, for `search_alg`.

    Args:
        engine: "native", or "hpbandster" for that library's own code, which has the model "kde" and, of the options,
            `random_fraction`.
        model: "kde", BOHB's own; or "tpe", a multivariate Parzen estimator that starts from Sobol points, and begins anew
            when nothing better has come for as long as the best took to come, and for at least 50 results: see
            `ParzenModel` and `StagnationRule`.
        random_fraction: the share of configs that are drawn without the model; None: a third for "kde", as in BOHB, and
            a tenth for "tpe", which would else be long in leaving a good corner for a better one.
        count_pending: whether configs whose results are awaited count as bad, so that those proposed meanwhile differ.
        keep_lower: whether configs that lower fidelities know, and the modelled one does not, count as bad.
        ordered: whether a choice among rising or falling numbers is a number to the model, not a set of options.

    Raises:
        SettingError: an argument is not one of those it may be, or hpbandster was given an option it does not have.

    Source:
        Falkner, Klein and Hutter (2018), "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML,
        1437-1446.
    """

    engine: Literal["native", "hpbandster"] = "native"
    model: Literal["kde", "tpe"] = "kde"
    random_fraction: float | None = None
    count_pending: bool = True
    keep_lower: bool = False
    ordered: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ("native", "hpbandster"):
            raise SettingError(f"`engine` is 'native' or 'hpbandster'; got {self.engine!r}.")
        if self.model not in ("kde", "tpe"):
            raise SettingError(f"`model` is 'kde' or 'tpe'; got {self.model!r}.")
        fraction = self._fraction
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise SettingError(f"`random_fraction` is a share from 0 to 1; got {self.random_fraction!r}.")
        for name in ("count_pending", "keep_lower", "ordered"):
            if not isinstance(getattr(self, name), bool):
                raise SettingError(f"`{name}` is True or False; got {getattr(self, name)!r}.")
        if self.engine == "hpbandster" and (self.model != "kde" or self.keep_lower or self.ordered):
            raise SettingError(
                "engine='hpbandster' has model='kde' only, and of the options `random_fraction`; leave the others out, or "
                "take engine='native'."
            )

    @property
    def _fraction(self) -> float:
        return _FRACTIONS[self.model] if self.random_fraction is None else self.random_fraction

    def sampler(self, space: Space, seed: int) -> Sampler:
        """A fresh sampler with these settings."""
        if self.engine == "hpbandster":
            from rbt_ray.search.hpbandster_engine import HpbandsterEngine

            return HpbandsterEngine(space, seed=seed, random_fraction=self._fraction)
        levels = Encoding(space, ordered=self.ordered)
        model, drawn = self._native(space, levels, seed)
        return ModelSampler(
            space,
            levels,
            model,
            drawn,
            seed=seed,
            random_fraction=self._fraction,
            count_pending=self.count_pending,
            keep_lower=self.keep_lower,
            restarts=self.model == "tpe",
        )

    def _native(self, space: Space, levels: Encoding, seed: int) -> tuple[Model, UniqueDraws]:
        if self.model == "kde":
            return KernelModel(levels), RandomSearch(space, seed=seed)
        from rbt_ray.search.parzen_model import ParzenModel  # scipy

        return ParzenModel(levels), SobolSearch(space, seed=seed)
