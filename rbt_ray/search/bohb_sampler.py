"""BOHB's sampler: one constructor for its two engines and its models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rbt_ray.errors import SettingError
from rbt_ray.search.drawn import Drawn
from rbt_ray.search.kernel_model import KernelModel
from rbt_ray.search.levels import Levels
from rbt_ray.search.model_sampler import Model, ModelSampler
from rbt_ray.search.random_search import RandomSearch
from rbt_ray.search.sobol import SobolSearch
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

if TYPE_CHECKING:
    from rbt_ray.search.hpbandster_engine import HpbandsterEngine

Engine = Literal["native", "hpbandster"]
ModelName = Literal["kde", "tpe"]


class BohbSampler:
    """New configs by a model of the results, as BOHB draws them.

    Args:
        space: what to search.
        seed: everything random follows from it.
        engine: "native", or "hpbandster" for that library's own code, which has the model "kde" and, of the options,
            `random_fraction`.
        model: "kde", BOHB's own; or "tpe", a multivariate Parzen estimator that starts from Sobol points: see
            `ParzenModel`.
        random_fraction: the share of configs that are drawn without the model; None: a third for "kde", as in BOHB, and
            none for "tpe", whose density has an even part.
        count_pending: whether configs whose results are awaited count as bad, so that those proposed meanwhile
            differ; None: they do.
        keep_lower: whether configs that lower fidelities know, and the modelled one does not, count as bad; None:
            they do not.
        ordered: whether a choice among rising or falling numbers is a number to the model, not a set of options;
            None: it is not.

    Raises:
        SettingError: an argument is not one of those it may be, or hpbandster was given an option it does not have.

    Source:
        Falkner, Klein and Hutter (2018), "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML,
        1437-1446.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        engine: Engine = "native",
        model: ModelName = "kde",
        random_fraction: float | None = None,
        count_pending: bool | None = None,
        keep_lower: bool | None = None,
        ordered: bool | None = None,
    ) -> None:
        fractions = {"kde": 1 / 3, "tpe": 0.0}
        if model not in fractions:
            raise SettingError(f"`model` is 'kde' or 'tpe'; got {model!r}.")
        fraction = fractions[model] if random_fraction is None else random_fraction
        if not 0 <= fraction <= 1:
            raise SettingError(f"`random_fraction` is a share from 0 to 1; got {random_fraction!r}.")
        self._sampler: ModelSampler | HpbandsterEngine
        if engine == "hpbandster":
            if model != "kde" or count_pending or keep_lower or ordered:
                raise SettingError(
                    "engine='hpbandster' has model='kde' only, and of the options `random_fraction`; leave the others out, "
                    "or take engine='native'."
                )
            from rbt_ray.search.hpbandster_engine import HpbandsterEngine

            self._sampler = HpbandsterEngine(space, seed=seed, random_fraction=fraction)
            return
        if engine != "native":
            raise SettingError(f"`engine` is 'native' or 'hpbandster'; got {engine!r}.")
        levels = Levels(space, ordered=bool(ordered))
        drawn: Drawn
        learner: Model
        if model == "kde":
            drawn, learner = RandomSearch(space, seed=seed), KernelModel(levels)
        else:
            from rbt_ray.search.parzen_model import ParzenModel

            drawn, learner = SobolSearch(space, seed=seed), ParzenModel(levels)
        self._sampler = ModelSampler(
            space,
            levels,
            learner,
            drawn,
            seed=seed,
            random_fraction=fraction,
            count_pending=count_pending is not False,
            keep_lower=bool(keep_lower),
        )

    @property
    def fallbacks(self) -> int:
        """How often a config was drawn without the model though it was the model's turn."""
        return self._sampler.fallbacks

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        return self._sampler.sample()

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:
        """See `Sampler`."""
        self._sampler.learn(point, fidelity, loss)
