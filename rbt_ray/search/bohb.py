"""The settings of BOHB, and the sampler, model and engine that they select."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from rbt_ray.errors import SettingError
from rbt_ray.search.encoding import MOST_RESULTS, Encoding, Ranking
from rbt_ray.search.front_ranking import FrontRanking
from rbt_ray.search.kernel_model import KernelModel
from rbt_ray.search.local_quadratic import LocalQuadratic
from rbt_ray.search.model_sampler import Model, ModelSampler
from rbt_ray.search.random_draws import RandomSearch, SobolSearch, UniqueDraws
from rbt_ray.search.searcher import Sampler
from rbt_ray.study.space import Space

_FRACTIONS = {"kde": 1 / 3, "tpe": 0.1}


@dataclass(frozen=True, slots=True)
class BOHB:
    """Settings for `search_alg`: a search that draws new configs from a model of the results.

    Args:
        engine: "native", or "hpbandster" for that library's own code, which is installed by the extra `hpbandster` and
            supports only model "kde" and the option `random_fraction`.
        model: "kde", BOHB's own; or "tpe", a multivariate Parzen estimator that starts from Sobol points and restarts when
            the search stagnates: see `ParzenModel` and `StagnationRule`.
        random_fraction: the share of configs drawn without the model. None: a third for "kde", as in BOHB, and a tenth for
            "tpe", which needs some to leave a local optimum.
        count_pending: whether configs without a result yet count as bad, so that the next proposals differ from them.
        keep_lower: whether configs with results only at fidelities below the modelled one count as bad.
        ordered: whether the model treats a choice among ascending or descending numbers as a number.
        local_fraction: the share of the model's configs that come from a quadratic fit to the results around the best config:
            see `LocalQuadratic`. "auto" uses a half.

    Raises:
        SettingError: an argument has an invalid value, hpbandster does not support an option, or hpbandster is not installed.

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
    local_fraction: float = 0.0

    def __post_init__(self) -> None:
        if self.engine not in ("native", "hpbandster"):
            raise SettingError(f"`engine` is 'native' or 'hpbandster'; got {self.engine!r}.")
        if self.model not in ("kde", "tpe"):
            raise SettingError(f"`model` is 'kde' or 'tpe'; got {self.model!r}.")
        for name, share in (("random_fraction", self._fraction), ("local_fraction", self.local_fraction)):
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
                raise SettingError(f"`{name}` is a share from 0 to 1; got {getattr(self, name)!r}.")
        for name in ("count_pending", "keep_lower", "ordered"):
            if not isinstance(getattr(self, name), bool):
                raise SettingError(f"`{name}` is True or False; got {getattr(self, name)!r}.")
        if self.engine == "hpbandster" and (
            self.model != "kde" or self.keep_lower or self.ordered or self.local_fraction
        ):
            raise SettingError(
                "engine='hpbandster' supports only model='kde' and the option `random_fraction`; leave the others out, or "
                "use engine='native'."
            )
        if self.engine == "hpbandster" and find_spec("hpbandster") is None:
            raise SettingError(
                "engine='hpbandster' needs hpbandster, which is not installed: pip install 'rbt-ray[hpbandster]'. Without a C "
                "compiler, install it with uv as docs/search.md shows; or use engine='native', which has the same model."
            )

    @property
    def _fraction(self) -> float:
        return _FRACTIONS[self.model] if self.random_fraction is None else self.random_fraction

    def sampler(self, space: Space, seed: int, n_metrics: int = 1, most_results: int | None = MOST_RESULTS) -> Sampler:
        """Returns a fresh sampler with these settings; for `most_results` see `ModelSampler`.

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
            local=LocalQuadratic(encoding) if self.local_fraction and n_metrics == 1 else None,
            local_fraction=self.local_fraction,
            restarts=self.model == "tpe" and n_metrics == 1,
            ranking=Ranking if n_metrics == 1 else FrontRanking,
            most_results=most_results,
        )

    def _native(self, space: Space, encoding: Encoding, seed: int) -> tuple[Model, UniqueDraws]:
        if self.model == "kde":
            return KernelModel(encoding), RandomSearch(space, seed=seed)
        from rbt_ray.search.parzen_model import ParzenModel  # scipy

        return ParzenModel(encoding), SobolSearch(space, seed=seed)


def bohb_sampler(
    space: Space, *, seed: int, n_metrics: int = 1, most_results: int | None = None, **settings: Any
) -> Sampler:
    """Returns the sampler of `BOHB(**settings)`."""
    return BOHB(**settings).sampler(space, seed, n_metrics, most_results)
