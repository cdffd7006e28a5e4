"""The settings of BOHB, and the sampler, model and engine that they select."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from rbt_ray.errors import SettingError
from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.search.front_ranking import FrontRanking
from rbt_ray.search.kernel_model import KernelModel
from rbt_ray.search.model_sampler import Model, ModelSampler
from rbt_ray.search.random_draws import RandomSearch, SobolSearch, UniqueDraws
from rbt_ray.search.searcher import Sampler
from rbt_ray.study.space import Space

_FRACTIONS = {"kde": 1 / 3, "tpe": 0.1}


@dataclass(frozen=True, slots=True)
class BOHB:
    """Settings for `search_alg`: a search that draws new configs from a model of the results.

    Args:
        engine: "native", or "hpbandster" for that library's own code, which supports only model "kde" and the option
            `random_fraction`.
        model: "kde", BOHB's own; or "tpe", a multivariate Parzen estimator that starts from Sobol points and restarts when
            the search stagnates: see `ParzenModel` and `StagnationRule`.
        random_fraction: the share of configs drawn without the model. None: a third for "kde", as in BOHB, and a tenth for
            "tpe", which needs some to leave a local optimum.
        count_pending: whether configs without a result yet count as bad, so that the next proposals differ from them.
        keep_lower: whether configs with results only at fidelities below the modelled one count as bad.
        ordered: whether the model treats a choice among ascending or descending numbers as a number.

    Raises:
        SettingError: an argument has an invalid value, or hpbandster does not support an option.

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
                "engine='hpbandster' supports only model='kde' and the option `random_fraction`; leave the others out, or "
                "use engine='native'."
            )

    @property
    def _fraction(self) -> float:
        return _FRACTIONS[self.model] if self.random_fraction is None else self.random_fraction

    def sampler(self, space: Space, seed: int, n_metrics: int = 1) -> Sampler:
        """Returns a fresh sampler with these settings.

        With several metrics, the model ranks results by non-dominated sorting, and the search does not restart: no result is
        the best, and a front has more to find.
        """
        if self.engine == "hpbandster":
            from rbt_ray.search.hpbandster_engine import HpbandsterEngine

            return HpbandsterEngine(space, seed=seed, random_fraction=self._fraction)
        encoding = Encoding(space, ordered=self.ordered)
        model, drawn = self._native(space, encoding, seed)
        return ModelSampler(
            space,
            encoding,
            model,
            drawn,
            seed=seed,
            random_fraction=self._fraction,
            count_pending=self.count_pending,
            keep_lower=self.keep_lower,
            restarts=self.model == "tpe" and n_metrics == 1,
            ranking=Ranking if n_metrics == 1 else FrontRanking,
        )

    def _native(self, space: Space, encoding: Encoding, seed: int) -> tuple[Model, UniqueDraws]:
        if self.model == "kde":
            return KernelModel(encoding), RandomSearch(space, seed=seed)
        from rbt_ray.search.parzen_model import ParzenModel  # scipy

        return ParzenModel(encoding), SobolSearch(space, seed=seed)


def bohb_sampler(space: Space, *, seed: int, n_metrics: int = 1, **settings: Any) -> Sampler:
    """Returns the sampler of `BOHB(**settings)`."""
    return BOHB(**settings).sampler(space, seed, n_metrics)
