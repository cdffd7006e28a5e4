"""Adapts Optuna's samplers to the sampler protocol; multivariate TPE by default."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbt_ray.errors import SettingError
from rbt_ray.search.constraints import Replacements
from rbt_ray.search.digest_set import DigestSet
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.search.scheduler import Losses
from rbt_ray.study.domains import Choice, Domain
from rbt_ray.study.numeric_domains import Float, Stepped
from rbt_ray.study.space import Space
from rbt_ray.types import FloatArray

try:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import TrialState
except ImportError as error:
    raise SettingError(
        "`search_alg` 'tpe' and Optuna's samplers need Optuna: pip install 'rbt-ray[optuna]'."
    ) from error

_TRIES = 20
"""After this many known or forbidden configs in a row, a random one takes their place."""
_EXHAUSTIVE = (optuna.samplers.GridSampler, optuna.samplers.BruteForceSampler)
"""Samplers of a finite set. They call `Study.stop` after its last config; random configs never replace theirs."""
_VIOLATION = "violation"
_STARTUP_TRIALS = 10
"""The number of random trials with which Optuna's TPE begins."""
_CATEGORIES = (type(None), bool, int, float, str)


class OptunaSampler:
    """Samples from an Optuna study in memory.

    Optuna sees the values that the objective sees. Where it has no type for them (options that are lists or objects, stepped
    values on a logarithmic scale), it sees positions.

    Optuna gets results at full fidelity as values. It gets those at lower fidelities as pruned trials, which its TPE ranks
    below all complete ones, by fidelity and then by loss. It gets forbidden configs with the worst loss so far. A suggestion
    that breaks a constraint on parameters fails, and the nearest of some allowed configs replaces it, unless the sampler
    enumerates a finite set. A trial that breaks constraints on metrics gets the worst loss too, and from version 5 on its
    violation as a constraint.

    Args:
        space: the space to search.
        seed: the seed of the default sampler, and of the random configs that replace repeats.
        sampler: a sampler of Optuna with its own seed; None: multivariate TPE.
        constrained: whether the study has constraints on metrics.
        n_metrics: how many metrics the study optimizes. Optuna has no pruned trials with several, so that trials at lower
            fidelities fail there, and it learns their configs at full fidelity only.

    Attributes:
        n_first: how many of the first configs need no results.

    Raises:
        SettingError: Optuna is not installed; or, in `sample`, the sampler proposes a value that is not in the space.

    Source:
        Watanabe (2023), "Tree-Structured Parzen Estimator", arXiv:2304.11127; Optuna's documentation of TPESampler.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        sampler: optuna.samplers.BaseSampler | None = None,
        constrained: bool = False,
        n_metrics: int = 1,
    ) -> None:
        self._space = space
        self.n_first = _STARTUP_TRIALS if sampler is None else 0
        self._constrained = constrained and hasattr(optuna.Trial, "set_constraint")
        self._varying = [_variable(space.domains[k], space.names[k]) for k in range(space.n_params)]
        self._order = _parents_first(space)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each of the options of TPE is "experimental"
            if sampler is None:
                sampler = optuna.samplers.TPESampler(
                    seed=seed % 2**32, multivariate=True, group=bool(space.conditions), constant_liar=True
                )
            level = optuna.logging.get_verbosity()
            optuna.logging.set_verbosity(optuna.logging.WARNING)  # hides the message that a study was created
            self._study = optuna.create_study(sampler=sampler, directions=["minimize"] * n_metrics)
            optuna.logging.set_verbosity(level)
        # Optuna's own `stop` raises outside `Study.optimize`.
        self._study.stop = self._stop  # type: ignore[method-assign]
        self._stopped = False
        self._exhaustive = isinstance(sampler, _EXHAUSTIVE)
        self._open: dict[bytes, optuna.Trial] = {}
        self._worst: float | Losses | None = None
        self._n_metrics = n_metrics
        self._replacements = Replacements(space, seed)
        self._seen = DigestSet()
        self._random = RandomSearch(space, seed=seed)

    def sample(self) -> FloatArray | None:
        """See `Sampler`."""
        asks = itertools.count() if self._exhaustive else range(0 if self._random.done else _TRIES)
        for _ in asks:
            if self._stopped:
                return None
            trial = self._study.ask()
            point = self._suggest(trial)
            allowed = self._space.allowed(point)[0]
            if allowed and self._seen.add(self._space.digests(point))[0]:
                self._open[point.tobytes()] = trial
                return self._row(point)
            # A trial that breaks constraints must not count: its replacement does.
            if allowed or self._worst is None or self._space.constraints:
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                self._study.tell(trial, self._worst)
            if allowed or self._exhaustive or not self._space.constraints:
                continue
            if (near := self._replacement(point)) is not None:
                return near
        while len(point := self._random.ask(1).points):
            if self._seen.add(self._space.digests(point))[0]:
                return self._row(point)
        return None

    def _replacement(self, point: FloatArray) -> FloatArray | None:
        """Returns a new allowed point near one that breaks a constraint; None if there is none."""
        while (near := self._replacements.nearest(point)) is not None:
            if self._seen.add(self._space.digests(near))[0]:
                return self._row(near)
        return None

    def learn(self, point: FloatArray, fidelity: float, loss: float) -> None:
        """See `Sampler`."""
        trial = self._open.pop(point.tobytes(), None)
        if fidelity == 1 and not np.isnan(loss):
            assert not isinstance(self._worst, tuple)
            self._worst = loss if self._worst is None else max(self._worst, loss)
        self._tell(trial, point, fidelity, loss, 0.0)

    def learn_losses(self, point: FloatArray, fidelity: float, losses: Losses) -> None:
        """See `LearnsLosses`."""
        trial = self._open.pop(point.tobytes(), None)
        if fidelity == 1:
            before = self._worst if isinstance(self._worst, tuple) else losses
            self._worst = tuple(max(pair) for pair in zip(before, losses, strict=True))
        self._tell(trial, point, fidelity, losses if fidelity == 1 else np.nan, 0.0)

    def learn_infeasible(self, point: FloatArray, fidelity: float, violation: float) -> None:
        """Learns that a config breaks constraints on metrics."""
        trial = self._open.pop(point.tobytes(), None)
        any_value: float | Losses = 0.0 if self._n_metrics == 1 else (0.0,) * self._n_metrics
        without = any_value if self._constrained else np.nan
        self._tell(trial, point, fidelity, without if self._worst is None else self._worst, violation)

    def _tell(
        self, trial: optuna.Trial | None, point: FloatArray, fidelity: float, loss: float | Losses, violation: float
    ) -> None:
        if trial is None:
            self._seen.add(self._space.digests(point[None]))
            frozen = self._frozen_trial(point, fidelity, loss)
            if self._constrained:
                frozen.set_constraint(_VIOLATION, violation)
            self._study.add_trial(frozen)
            return
        if self._constrained:
            trial.set_constraint(_VIOLATION, violation)
        if not isinstance(loss, tuple) and np.isnan(loss):
            self._study.tell(trial, state=TrialState.FAIL)
        elif fidelity == 1 or isinstance(loss, tuple):
            self._study.tell(trial, loss)
        else:
            trial.report(loss, _step(fidelity))
            self._study.tell(trial, state=TrialState.PRUNED)

    def _stop(self) -> None:
        """Records that the sampler has proposed its last config."""
        self._stopped = True

    @staticmethod
    def _row(points: FloatArray) -> FloatArray:
        row: FloatArray = points[0]
        return row

    def _suggest(self, trial: optuna.Trial) -> FloatArray:
        space = self._space
        point = np.full((1, space.n_params), np.nan)
        for column in self._order:
            if space.active(point)[0, column]:
                point[0, column] = self._value(self._varying[column], space.domains[column], trial)
        return space.canonical(point)

    def _value(self, variable: _Variable, domain: Domain, trial: optuna.Trial) -> float:
        sampler = type(self._study.sampler).__name__
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a value out of range is refused below
                value = variable.suggest(trial)
        except ValueError as error:
            raise SettingError(f"Optuna's {sampler} cannot search this space: {error}") from error
        column = variable.to_column(value)
        if column is None or not domain.has(np.array([column]))[0]:
            raise SettingError(
                f"Optuna's {sampler} proposes {value!r} for `{variable.name}`, which takes {variable.takes or domain.takes}."
            )
        return column

    def _frozen_trial(self, point: FloatArray, fidelity: float, loss: float | Losses) -> optuna.trial.FrozenTrial:
        present = [variable for k, variable in enumerate(self._varying) if not np.isnan(point[k])]
        values = point[~np.isnan(point)]
        given = {v.name: v.from_column(x) for v, x in zip(present, values.tolist(), strict=True) if v.distribution}
        if isinstance(loss, tuple) or (self._n_metrics > 1 and np.isnan(loss)):
            return optuna.trial.create_trial(
                state=TrialState.COMPLETE if isinstance(loss, tuple) else TrialState.FAIL,
                params=given,
                distributions={v.name: v.distribution for v in present if v.distribution},
                values=loss if isinstance(loss, tuple) else None,
            )
        done = fidelity == 1 and not np.isnan(loss)
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE if done else TrialState.FAIL if np.isnan(loss) else TrialState.PRUNED,
            params=given,
            distributions={v.name: v.distribution for v in present if v.distribution},
            value=loss if done else None,
            intermediate_values={} if done or np.isnan(loss) else {_step(fidelity): loss},
        )


@dataclass(frozen=True, slots=True)
class _Variable:
    """A parameter as Optuna sees it.

    Args:
        name: the parameter's name.
        distribution: the distribution of Optuna's values; None for a single value.
        to_column: maps Optuna's value to a point's; None for a value outside the domain.
        from_column: the inverse of `to_column`.
        takes: a description of Optuna's values for messages, if they are not the objective's.
    """

    name: str
    distribution: BaseDistribution | None
    to_column: Callable[[Any], float | None]
    from_column: Callable[[float], Any]
    takes: str = ""

    def suggest(self, trial: optuna.Trial) -> Any:
        """Returns the value that Optuna suggests."""
        kind = self.distribution
        if isinstance(kind, FloatDistribution):
            return trial.suggest_float(self.name, kind.low, kind.high, step=kind.step, log=kind.log)
        if isinstance(kind, IntDistribution):
            return trial.suggest_int(self.name, kind.low, kind.high, step=kind.step, log=kind.log)
        if isinstance(kind, CategoricalDistribution):
            return trial.suggest_categorical(self.name, kind.choices)
        return 0


def _variable(domain: Domain, name: str) -> _Variable:
    def nth(index: int) -> float:
        return float(domain.nth(np.array([float(index)]))[0])

    def to_python(column: float) -> Any:
        return domain.to_python(np.array([column]))[0]

    if domain.n_values == 1:
        return _Variable(name, None, nth, float)
    if isinstance(domain, Choice):
        options, last = domain.options, len(domain.options) - 1
        if domain.word == "ordinal":
            return _Variable(name, IntDistribution(0, last), float, int, takes=f"positions from 0 to {last}")
        if _are_categories(options):
            return _Variable(name, CategoricalDistribution(options), domain.to_column, to_python)
        return _Variable(
            name, CategoricalDistribution(range(last + 1)), float, int, takes=f"positions from 0 to {last}"
        )
    if isinstance(domain, Float) and domain.prior is None:
        return _Variable(name, FloatDistribution(domain.lower, domain.upper, log=domain.log), float, float)
    if isinstance(domain, Stepped) and domain.prior is None:
        first, q, n = domain.first, domain.q, domain.n
        if not domain.log or q == 1:
            low, high = to_python(nth(0)), to_python(nth(n - 1))
            if domain.integer:
                return _Variable(
                    name, IntDistribution(low, high, log=domain.log, step=int(q)), domain.to_column, to_python
                )
            return _Variable(name, FloatDistribution(low, high, step=q), domain.to_column, to_python)
        multiples = IntDistribution(first, first + n - 1, log=True)
        return _Variable(
            name, multiples, lambda multiple: nth(multiple - first), lambda x: round(x / q), takes=f"multiples of {q!r}"
        )
    return _Variable(
        name,
        FloatDistribution(0.0, 1.0),
        lambda u: float(domain.from_unit(np.array([u]))[0]) if 0 <= u <= 1 else None,
        lambda x: float(domain.to_unit(np.array([x]))[0]),
        takes="levels of its distribution from 0 to 1",
    )


def _are_categories(options: Sequence[Any]) -> bool:
    """Returns whether Optuna can store these options and tell them apart; to it True, 1 and 1.0 are equal."""
    return all(type(option) in _CATEGORIES for option in options) and len(set(options)) == len(options)


def _parents_first(space: Space) -> list[int]:
    """Returns the columns in an order in which parents of conditions come before their children."""
    children = [space.names.index(name) for name, _ in space.conditions]
    return [k for k in range(space.n_params) if k not in children] + list(dict.fromkeys(children))


def _step(fidelity: float) -> int:
    return round(fidelity * 1e9)
