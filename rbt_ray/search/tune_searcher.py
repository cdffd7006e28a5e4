"""Adapts Ray Tune's searchers (OptunaSearch, HyperOptSearch and others) to the searcher protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from ray import tune
from ray.tune.search import Searcher as RaySearcher

from rbt_ray.errors import SpaceError
from rbt_ray.search.constraints import Replacements
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.study.numeric_domains import Float, Stepped
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray, Proposal, Result

_TRIES = 100
"""After this many forbidden suggestions in a row, an allowed config takes their place."""
_METRIC, _MODE = "loss", "min"


class TuneSearcher:
    """A searcher of Ray Tune, at full fidelity.

    A searcher without a space searches the study's. One with its own space must suggest the study's parameters by name. A
    suggestion that is forbidden or breaks a constraint is reported to the searcher with the worst loss so far. The
    nearest of some allowed configs takes its place; in a space with forbidden clauses only, after 100 of them in a row. An infeasible trial
    gets the worst loss too.

    Args:
        space: the space to search.
        searcher: a fresh searcher of Ray Tune.
        limit: the maximum number of configs to propose; None: until the searcher is finished.
    """

    def __init__(self, space: Space, searcher: RaySearcher, *, limit: int | None = None) -> None:
        self._space = space
        self._unrestricted = replace(space, forbidden=(), constraints=())
        self._searcher = searcher
        self._limit = limit
        domains = {name: _domain(domain) for name, domain in zip(space.names, space.domains, strict=True)}
        self._in_columns = bool(searcher.set_search_properties(_METRIC, _MODE, _nested(domains)))
        self._worst: float | None = None
        self._names: dict[bytes, list[str | None]] = {}
        """The searcher's names of open suggestions, by point; None for a replacement."""
        self._replacements = Replacements(space, 0)
        self._suggested = self._proposed = 0
        self._finished = False

    @property
    def done(self) -> bool:
        """See `Searcher`."""
        return self._finished or self._proposed == self._limit

    def extend(self, limit: int | None) -> None:
        """Continues up to `limit` configs in all."""
        self._limit = limit

    def ask(self, n: int) -> Sequence[Proposal]:
        """See `Searcher`.

        Raises:
            SpaceError: the searcher suggests configs that are not in the study's space, or no config of it is allowed.
        """
        proposals: list[Proposal] = []
        while len(proposals) < n and not self.done:
            point = self.suggestion()
            if point is None:
                break
            proposals += [Proposal(config) for config in self._space.decode(point)]
        return proposals

    def tell(self, results: Sequence[Result]) -> None:
        """See `Searcher`."""
        for result in results:
            point = self._space.encode([result.config])
            if result.loss is not None:
                self._worst = result.loss if self._worst is None else max(self._worst, result.loss)
            self._report(point, self._worst if result.violation > 0 else result.loss)

    def tell_point(self, point: bytes, loss: float) -> None:
        """Reports the loss of the oldest open suggestion of an encoded point; NaN if the trial did not complete."""
        row = np.frombuffer(point).reshape(1, -1)
        self._report(row, None if math.isnan(loss) else loss)

    def suggestion(self) -> FloatArray | None:
        """Returns an allowed point, ``(1, n_params)``; None if the searcher waits for results or is finished.

        Raises:
            SpaceError: no config of the space is allowed.
        """
        for _ in range(_TRIES):
            name = f"{self._suggested:08d}"
            suggested = self._searcher.suggest(name)
            if suggested is None:
                return None
            if suggested == RaySearcher.FINISHED:
                self._finished = True
                return None
            self._suggested += 1
            point = self._point(suggested)
            if self._space.allowed(point)[0]:
                self._proposed += 1
                self._names.setdefault(point.tobytes(), []).append(name)
                return point
            self._complete(name, self._worst)
            if self._space.constraints:
                break
        near = self._replacements.nearest(point)
        if near is None:
            self._finished = True
            return None
        self._proposed += 1
        self._names.setdefault(near.tobytes(), []).append(None)
        return near

    def _point(self, suggested: Mapping[str, Any]) -> FloatArray:
        if not self._in_columns:
            return self._own_point(_nested(suggested))
        given = _flat(suggested)
        columns = zip(self._space.names, self._space.domains, strict=True)
        values = [_column(domain, given[name]) for name, domain in columns]
        return self._space.canonical(np.array([values]))

    def _own_point(self, config: Mapping[str, Any]) -> FloatArray:
        """Returns the point of a config from the searcher's own space."""
        try:
            return self._unrestricted.encode([config])
        except SpaceError as error:
            kind = type(self._searcher).__name__
            raise SpaceError(
                f"{kind} has a space of its own, which differs from `param_space`: {error} Create {kind} without a space, so "
                f"that it searches `param_space`, or give `param_space` the same parameters and constants."
            ) from error

    def _report(self, point: FloatArray, loss: float | None) -> None:
        """Reports the result of the oldest open trial of a point, ``(1, n_params)``."""
        name = self._names[point.tobytes()].pop(0)
        if name is not None:
            self._complete(name, loss)
        elif loss is not None and self._in_columns:
            suggestion = {
                name: _uncolumn(domain, value)
                for name, domain, value in zip(self._space.names, self._space.domains, point[0].tolist(), strict=True)
                if not math.isnan(value)
            }
            with suppress(NotImplementedError):  # many searchers learn only from what they suggested themselves
                self._searcher.add_evaluated_point(suggestion, self._signed(loss))

    def _signed(self, loss: float) -> float:
        return -loss if (self._searcher.mode or _MODE) == "max" else loss

    def _complete(self, name: str, loss: float | None) -> None:
        """Reports a loss with the metric name and the sign that the searcher expects."""
        if loss is None:
            self._searcher.on_trial_complete(name, error=True)
            return
        result = {self._searcher.metric or _METRIC: self._signed(loss), "training_iteration": 1}
        self._searcher.on_trial_complete(name, result=result)


def _domain(domain: Domain) -> Any:
    """Returns Ray Tune's domain of the values that `_column` takes: numbers, positions of options, or levels in [0, 1)."""
    if isinstance(domain, Choice):
        return tune.choice(list(range(len(domain.options))))
    if isinstance(domain, Float) and domain.prior is None:
        return (tune.loguniform if domain.log else tune.uniform)(domain.lower, domain.upper)
    if isinstance(domain, Stepped) and domain.prior is None:
        return (tune.lograndint if domain.log else tune.randint)(domain.first, domain.first + domain.n)
    return tune.uniform(0.0, 1.0)


def _column(domain: Domain, value: float) -> float:
    if isinstance(domain, Choice):
        return float(value)
    if isinstance(domain, Float) and domain.prior is None:
        return float(np.clip(value, domain.lower, domain.upper))
    if isinstance(domain, Stepped) and domain.prior is None:
        return float(domain.nth(np.array([float(np.clip(value - domain.first, 0, domain.n - 1))]))[0])
    return float(domain.from_unit(np.array([min(value, np.nextafter(1.0, 0.0))]))[0])


def _uncolumn(domain: Domain, column: float) -> float:
    """The inverse of `_column`."""
    if isinstance(domain, Choice):
        return int(column)
    if isinstance(domain, Float) and domain.prior is None:
        return column
    if isinstance(domain, Stepped) and domain.prior is None:
        return round(column / domain.q)
    return float(domain.to_unit(np.array([column]))[0])


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _nested(suggested: Mapping[str, Any]) -> dict[str, Any]:
    """Nests a config that a searcher of Ray Tune flattened: "opt/lr" becomes {"opt": {"lr": ...}}."""
    config: dict[str, Any] = {}
    for name, value in suggested.items():
        *above, last = name.split("/")
        inside = config
        for part in above:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return config
