"""The sampler that draws configs from a model: it tracks pending and proposed configs, and falls back to random draws."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Protocol

import numpy as np

from rbt_ray.search.constraints import rank_as_loss
from rbt_ray.search.encoding import Encoding, Ranking
from rbt_ray.search.local_quadratic import LocalQuadratic
from rbt_ray.search.random_draws import UniqueDraws
from rbt_ray.search.scheduler import Losses
from rbt_ray.study.space import Space
from rbt_ray.types import BoolArray, FloatArray

_LEAST_RESULTS = 50
_ROUNDS = 8  # of candidates before a config is drawn without the model
# In a large search; part of the rule that `most_results` names, so that another value needs a definition that records it:
_MOST_OTHERS, _MOST_KERNELS = 1024, 256
_PENDING_PER_PROPOSAL, _LARGEST_BLOCK = 64, 64
_CANDIDATES_IN_BLOCK = 16  # for each proposal


class StagnationRule:
    """Detects stagnation: no better result for as many results as it took to find the best one, and for at least 50.

    A search that keeps improving, however slowly, does not stagnate, and at most about half of the results are spent in
    vain. The rule does not depend on the size of the whole search.
    """

    def __init__(self) -> None:
        self._best, self._n, self._n_at_best = math.inf, 0, 0

    def add_known(self, loss: float) -> None:
        """Records a result that the search did not find itself; it must be beaten, and does not count."""
        self._best = min(self._best, loss)

    def stagnates_after(self, loss: float, least: int = _LEAST_RESULTS) -> bool:
        """Records a result and returns whether the search has stagnated.

        Args:
            loss: inf if the trial did not complete.
            least: the least number of results without a better one.
        """
        self._n += 1
        if loss < self._best:
            self._best, self._n_at_best = loss, self._n
        return self._n - self._n_at_best >= max(least, self._n_at_best)


class Model(Protocol):
    """A model of results; pure, its random numbers come from the generator it is given."""

    @property
    def n_fewest(self) -> int:
        """The number of results that it needs."""
        ...

    def is_ready(self, ranking: Ranking) -> bool:
        """Returns whether there are enough results."""
        ...

    def fit(
        self, ranking: Ranking, others: FloatArray, rng: np.random.Generator, *, most_kernels: int | None = None
    ) -> None:
        """Fits results, and levels ``(n, n_params)`` of other configs, which count as bad.

        `most_kernels` is the maximum number of configs in the density of the bad ones; None: all.
        """
        ...

    def draw(self, rng: np.random.Generator, n: int = ...) -> FloatArray:
        """Returns candidates, ``(n, n_params)`` levels."""
        ...

    def best(self, candidates: FloatArray) -> int:
        """Returns the index of the best candidate."""
        ...

    def ratios(self, candidates: FloatArray) -> FloatArray:
        """Returns ``(n,)`` the ratio of the bad density to the good one at candidates; the lower, the better."""
        ...


class ModelSampler:
    """Draws most configs from a model of the results at the highest fidelity that has enough of them.

    A config that failed at full fidelity ranks below all that completed. One that failed at a lower fidelity is ignored, as
    the short history may be the reason. Forbidden and known configs, and those that break a constraint, are never
    proposed.

    In a search of more than `most_results` configs, the cost of a proposal is bounded. Rankings and densities keep some of the results
    (see `Ranking` and `Model.fit`). If many configs are pending, up to 64 proposals come from one fit, one for each 64 pending
    configs, each the best of 16 candidates; and the search stagnates after twice as many results as configs are pending at the
    earliest.

    Args:
        space: the space to search.
        encoding: the space's points as the model sees them.
        model: the model of the results.
        drawn: the source of configs without the model: before it is ready, and when it proposes no new one.
        seed: the seed of everything random but `drawn`.
        random_fraction: the share of configs drawn without the model.
        count_pending: whether a config without a result yet counts as bad, so that the next ones differ from it.
        keep_lower: whether a config with results only at fidelities below the modelled one counts as bad.
        restarts: whether to forget all results when the search stagnates at full fidelity (see `StagnationRule`). Otherwise
            the model keeps to the best configs after their neighbourhood is exhausted; on a lattice, where no config repeats,
            its proposals then get worse, as a config elsewhere counts as good only if it beats them. Known configs are not
            proposed again after a restart.
        local: another model, of the results around the best config; None: all configs come from `model`.
        local_fraction: the share of configs from `local`. At most one of them is without a result at any time.
        ranking: ranks results; `FrontRanking` for several metrics.
        most_results: how many results a ranking keeps at most; None: the cost of a proposal grows with the search.

    Attributes:
        fallbacks: how often the model proposed no new config, so that one was drawn without it.
        n_restarts: how often the search restarted.
    """

    def __init__(
        self,
        space: Space,
        encoding: Encoding,
        model: Model,
        drawn: UniqueDraws,
        *,
        seed: int,
        random_fraction: float,
        count_pending: bool,
        keep_lower: bool,
        restarts: bool = False,
        local: LocalQuadratic | None = None,
        local_fraction: float = 0.0,
        ranking: type[Ranking] = Ranking,
        most_results: int | None = None,
    ) -> None:
        self._space, self._encoding, self._model, self._drawn = space, encoding, model, drawn
        self._random_fraction, self._ranking, self._most_results = random_fraction, ranking, most_results
        self._local, self._local_fraction = local, local_fraction
        self._last_local = b""
        self._count_pending, self._keep_lower = count_pending, keep_lower
        self._rng = np.random.default_rng([seed % 2**64, 0xB0B])
        self._stagnation = StagnationRule() if restarts else None
        self._since_restart: set[bytes] = set()  # sampled or learned since the last restart
        self._known_before: set[bytes] = set()  # learned but not sampled: from an earlier study or the user
        self._rankings: dict[float, Ranking] = {}
        self._highest: dict[bytes, float] = {}
        self._pending: dict[bytes, None] = {}  # a set's order differs between processes
        self._modelled = -math.inf
        self._stale = True
        self._block: deque[FloatArray | None] = deque()  # the next proposals; None: the model has no new config
        self.fallbacks = self.n_restarts = 0

    @property
    def n_first(self) -> int:
        """How many of the next configs need no results."""
        return 0 if self._modelled > 0 else self._model.n_fewest

    @property
    def notes(self) -> list[str]:
        """See `FixedSequence`."""
        return self._drawn.notes

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        point = None
        if self._modelled > 0 and not self._drawn.done and self._rng.random() >= self._random_fraction:
            point = self._by_model()
            self.fallbacks += point is None
        if point is None:
            point = self._without_model()
        if point is not None:
            key = point.tobytes()
            self._highest[key] = 0.0
            self._since_restart.add(key)
            self._pending[key] = None
            self._stale |= self._count_pending
        return point

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:
        """See `Sampler`."""
        self._learn(point, fidelity, loss, completed=not math.isnan(loss))

    def learn_losses(self, point: FloatArray, fidelity: float, losses: Losses) -> None:
        """See `LearnsLosses`."""
        self._learn(point, fidelity, losses, completed=True)

    def _learn(self, point: FloatArray, fidelity: float, loss: float | Losses, *, completed: bool) -> None:
        key = point.tobytes()
        if key not in self._highest:
            self._since_restart.add(key)
            self._known_before.add(key)
        if key in self._pending:
            del self._pending[key]
            self._stale |= self._count_pending
        if not completed and fidelity < 1:
            self._highest.setdefault(key, 0.0)
            return
        self._highest[key] = max(fidelity, self._highest.get(key, 0.0))
        if key not in self._since_restart:
            return
        ranking = self._rankings.setdefault(fidelity, self._ranking(self._encoding, self._most_results))
        loss = loss if completed else math.inf
        ranking.add(point, loss)
        self._stale |= self._keep_lower
        if fidelity >= self._modelled and self._model.is_ready(ranking):
            self._modelled = fidelity
            self._stale = True
        if self._stagnation is not None and fidelity == 1 and not isinstance(loss, tuple):
            if key in self._known_before:
                self._stagnation.add_known(loss)
            elif self._stagnation.stagnates_after(loss, self._least_results):
                self._restart()

    def learn_infeasible(self, point: FloatArray, fidelity: float, violation: float) -> None:
        """Learns that a config breaks constraints: it ranks behind all feasible ones, and good ones break them least."""
        self.learn(point, fidelity, rank_as_loss(violation))

    @property
    def _is_large(self) -> bool:
        """Whether the search bounds the cost of a proposal."""
        return self._most_results is not None and len(self._highest) > self._most_results

    @property
    def _least_results(self) -> int:
        """The number of results without a better one from which the search stagnates.

        A proposal can only use a result after those of the pending configs. In a small search there are few of those.
        """
        return max(_LEAST_RESULTS, 2 * len(self._pending)) if self._is_large else _LEAST_RESULTS

    def _restart(self) -> None:
        self.n_restarts += 1
        self._since_restart = set()
        self._rankings.clear()
        self._block.clear()
        self._modelled, self._stagnation = -math.inf, StagnationRule()

    def _by_model(self) -> FloatArray | None:
        while self._block:
            point = self._block.popleft()
            if point is None or point.tobytes() not in self._highest:  # a random draw may be the same
                return point
        if self._local is not None and self._rng.random() < self._local_fraction:
            point = self._near_best(self._local)
            if point is not None:
                return point
        if self._stale:
            others = self._encoding.encode(self._points(self._others()))
            most = _MOST_KERNELS if self._is_large else None
            self._model.fit(self._rankings[self._modelled], others, self._rng, most_kernels=most)
            self._stale = False
        n = min(1 + len(self._pending) // _PENDING_PER_PROPOSAL, _LARGEST_BLOCK)
        if self._is_large and n > 1:
            self._block.extend(self._best_of_block(n))
            return self._block.popleft()
        for _ in range(_ROUNDS):
            levels = self._model.draw(self._rng)
            points = self._encoding.decode(levels)
            new = self._new(points)
            if new.all():
                return self._row(points, self._model.best(levels))
            if new.any():
                return self._row(points[new], self._model.best(levels[new]))
        return None

    def _best_of_block(self, n: int) -> list[FloatArray | None]:
        """Returns `n` new configs from the fitted model, each the best of 16 candidates; None for those it does not find."""
        levels = self._model.draw(self._rng, n * _CANDIDATES_IN_BLOCK)
        points, ratios = self._encoding.decode(levels), self._model.ratios(levels)
        if self._space.is_restricted:
            ratios[~self._space.allowed(points)] = np.inf
        order = np.argsort(ratios.reshape(n, _CANDIDATES_IN_BLOCK), axis=1, kind="stable")
        order += np.arange(n)[:, None] * _CANDIDATES_IN_BLOCK
        found: dict[bytes, FloatArray | None] = {}
        for at in order.T.ravel().tolist():  # the best of each 16 first, then the second best
            key = points[at].tobytes()
            if key not in self._highest and ratios[at] < np.inf:
                found.setdefault(key, self._row(points, at))
                if len(found) == n:
                    break
        return [*found.values(), *[None] * (n - len(found))]

    def _near_best(self, local: LocalQuadratic) -> FloatArray | None:
        """Returns a new config near the best one; None if the last such config has no result yet, or there is none."""
        if self._last_local in self._pending:  # the fit would propose much the same again
            return None
        pending = self._encoding.encode(self._points(self._latest_pending()))
        levels = local.draw(self._rankings[self._modelled], pending, self._rng)
        if not len(levels):
            return None
        points = self._encoding.decode(levels)
        new = np.flatnonzero(self._new(points))
        if not len(new):
            return None
        point = self._row(points, int(new[0]))
        self._last_local = point.tobytes()
        return point

    def _new(self, points: FloatArray) -> BoolArray:
        """Returns ``(n,)`` which points may be proposed."""
        new = np.array([point.tobytes() not in self._highest for point in points])
        return new & self._space.allowed(points) if self._space.is_restricted else new

    def _others(self) -> Iterable[bytes]:
        """Yields configs without a result at the modelled fidelity that count as bad."""
        if self._keep_lower:
            lower = (
                key
                for key, fidelity in reversed(self._highest.items())
                if 0 < fidelity < self._modelled and key not in self._pending and key in self._since_restart
            )
            yield from reversed(list(islice(lower, _MOST_OTHERS if self._is_large else None)))
        if self._count_pending:
            yield from self._latest_pending()

    def _latest_pending(self) -> Iterable[bytes]:
        """Returns the pending configs, oldest first; in a large search the latest 1,024."""
        return reversed(list(islice(reversed(self._pending), _MOST_OTHERS if self._is_large else None)))

    def _points(self, keys: Iterable[bytes]) -> FloatArray:
        keys = list(keys)
        return np.frombuffer(b"".join(keys)).reshape(len(keys), self._space.n_params)

    def _without_model(self) -> FloatArray | None:
        while not self._drawn.done:
            points = self._drawn.ask(1).points
            if points[0].tobytes() not in self._highest:
                return self._row(points, 0)
        return None

    @staticmethod
    def _row(points: FloatArray, index: int) -> FloatArray:
        point: FloatArray = points[index].copy()  # a view would keep all of them in memory
        return point
