"""BOHB's sampler: one constructor for its two engines and its models."""

from __future__ import annotations

from typing import Literal

from rbt_ray.errors import SettingError
from rbt_ray.search.drawn import Drawn
from rbt_ray.search.kernel_model import KernelModel
from rbt_ray.search.levels import Levels
from rbt_ray.search.model_sampler import Model, ModelSampler
from rbt_ray.search.random_search import RandomSearch
from rbt_ray.search.sampler import Sampler
from rbt_ray.search.sobol import SobolSearch
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

Engine = Literal["native", "hpbandster"]
ModelName = Literal["kde", "tpe"]


class BohbSampler:
    """New configs by a model of the results, as BOHB draws them.

    Args:
        space: what to search.
        seed: everything random follows from it.
        engine: "native", or "hpbandster" for that library's own code, which has the model "kde" and none of the options
            below.
        model: "kde", BOHB's own; or "tpe", a multivariate Parzen estimator that starts from Sobol points: see
            `ParzenModel`.
        random_fraction: the share of configs that are drawn without the model; None: a third for "kde", as in BOHB, and
            none for "tpe", whose density has an even part.
        count_pending: whether configs whose results are awaited count as bad, so that those proposed meanwhile differ.
        keep_lower: whether configs that lower fidelities know, and the modelled one does not, count as bad.
        ordered: whether a choice among rising or falling numbers is a number to the model, not a set of options.

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
        count_pending: bool = True,
        keep_lower: bool = False,
        ordered: bool = False,
    ) -> None:
        fraction: float = {"kde": 1 / 3, "tpe": 0.0}[model] if random_fraction is None else random_fraction
        levels = Levels(space, ordered=ordered)
        drawn: Drawn
        learns: Model
        if model == "kde":
            drawn, learns = RandomSearch(space, seed=seed), KernelModel(levels)
        else:
            from rbt_ray.search.parzen_model import ParzenModel

            drawn, learns = SobolSearch(space, seed=seed), ParzenModel(levels)
        self._sampler = ModelSampler(
            space,
            levels,
            learns,
            drawn,
            seed=seed,
            random_fraction=fraction,
            count_pending=count_pending,
            keep_lower=keep_lower,
        )

    def sample(self):
        return self._sampler.sample()

    def learn(self, point, fidelity, loss):
        self._sampler.learn(point, fidelity, loss)
