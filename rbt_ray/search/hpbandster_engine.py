"""BOHB by hpbandster's config generator, without its name server, master and workers."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from hpbandster.optimizers.config_generators.bohb import BOHB

from rbt_ray.search.constraints import rank_as_loss
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.study.space import Space
from rbt_ray.study.to_configspace import AsConfigSpace
from rbt_ray.types import FloatArray

_TRIES = 10
"""After this many known or forbidden configs in a row, a random one takes their place."""


class HpbandsterEngine:
    """A `Sampler` that uses the generator of hpbandster 0.7.4.

    The generator draws from numpy's global random state, which is swapped for this object's own during each call; its
    warnings are silenced there too. Repeated and forbidden proposals are drawn again. One difference from hpbandster
    remains: configs that failed below full fidelity are ignored.

    Args:
        space: the space to search.
        seed: the seed of everything random.
        random_fraction: the share of configs drawn without the model.

    Attributes:
        fallbacks: how often a random config replaced one of the model, which hpbandster does silently.

    Raises:
        SpaceError: a condition compares two parameters.

    Source:
        Falkner, Klein and Hutter (2018), "BOHB: Robust and Efficient Hyperparameter Optimization at Scale", ICML,
        1437-1446; https://github.com/automl/HpBandSter, release 0.7.4.
    """

    def __init__(self, space: Space, *, seed: int = 0, random_fraction: float = 1 / 3) -> None:
        self._space = space
        self._converted = AsConfigSpace(space, seed=seed)
        self._state = np.random.RandomState(seed % 2**32).get_state()
        self._notes = _Notes()
        with self._isolated():
            self._generator = BOHB(self._converted.configspace, random_fraction=random_fraction, logger=self._notes)
        self._drawn = RandomSearch(space, seed=seed)
        self._seen: set[bytes] = set()
        self._n_results = 0
        self.fallbacks = 0

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        tries = 0 if self._drawn.done or not len(self._converted.configspace) else _TRIES
        for _ in range(tries):
            self._notes.failed = False
            with self._isolated():
                values, _ = self._generator.get_config(None)
            point = self._converted.point(values)
            if point is not None and point.tobytes() not in self._seen and self._space.allowed(point[None])[0]:
                self.fallbacks += self._notes.failed
                self._seen.add(point.tobytes())
                return point
        while not self._drawn.done:
            drawn: FloatArray = self._drawn.ask(1).points[0]
            if drawn.tobytes() not in self._seen:
                self.fallbacks += self._notes.failed or len(self._generator.kde_models) > 0
                self._seen.add(drawn.tobytes())
                return drawn
        return None

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:
        """See `Sampler`."""
        self._seen.add(point.tobytes())
        failed = math.isnan(loss)
        if (failed and fidelity < 1) or not len(self._converted.configspace):
            return
        job = SimpleNamespace(
            id=(0, 0, self._n_results),
            kwargs={"config": self._converted.values(point), "budget": float(fidelity)},
            result=None if failed else {"loss": float(loss), "info": {}},
            exception=None,
        )
        self._n_results += 1
        with self._isolated():
            self._generator.new_result(job)

    def learn_infeasible(self, point: FloatArray, fidelity: float, violation: float) -> None:
        """Learns that a config breaks constraints; hpbandster's model only ranks losses."""
        self.learn(point, fidelity, rank_as_loss(violation))

    @contextmanager
    def _isolated(self) -> Iterator[None]:
        """Isolates calls of hpbandster: swaps numpy's random state and silences warnings."""
        theirs = np.random.get_state()  # noqa: NPY002  hpbandster draws from it
        np.random.set_state(self._state)  # noqa: NPY002
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            self._state = np.random.get_state()  # noqa: NPY002
            np.random.set_state(theirs)  # noqa: NPY002


class _Notes(logging.Logger):
    """Reads from hpbandster's log whether a random config replaced one of the model."""

    def __init__(self) -> None:
        super().__init__("rbt_ray.search.hpbandster_engine")
        self.failed = False

    def _note(self, message: object) -> None:
        self.failed |= str(message).startswith(("Sampling based optimization with", "Error (%s) converting"))

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002  a logger's
        self._note(msg)

    def debug(self, msg: object, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002  a logger's
        self._note(msg)
