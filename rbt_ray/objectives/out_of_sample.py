"""Runs a config that was chosen on the training bars of a window on its test bars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rbt_ray import recordable
from rbt_ray.objectives.objective import describe
from rbt_ray.objectives.windowed import answer_of, metrics_on, path_of
from rbt_ray.recordable import require
from rbt_ray.study.windows import Window
from rbt_ray.types import Config, FloatArray, Metrics

if TYPE_CHECKING:
    from rbt_ray.data.bundle import Bundle


@dataclass(frozen=True, slots=True, eq=False)
class OutOfSample:
    """The results of a config on the test bars of a window.

    Args:
        metrics: of the test bars; empty after an error.
        returns: ``(n_test_bars,)`` simple returns; None for an objective that returns none.
        error: why there are no metrics.
    """

    metrics: Metrics
    returns: FloatArray | None = None
    error: str | None = None

    def recordable(self) -> OutOfSample:
        """Returns the results with the types that a journal can hold.

        Raises:
            ValueError: a part has another type.
        """
        require(type(self.metrics) is dict, "metrics", self.metrics)
        names = [recordable.text(name) for name in self.metrics]
        values = recordable.json_values(list(self.metrics.values()))
        returns = self.returns
        if returns is not None:
            returns = recordable.array(returns, np.float64, np.shape(returns)[:1], "returns")
        error = None if self.error is None else recordable.text(self.error)[: recordable.LONGEST_ERROR]
        return OutOfSample(dict(zip(names, values, strict=True)), returns, error)


def out_of_sample(
    objective: Any, config: Config, metric: str, bundle: Bundle, window: Window, seed: int
) -> OutOfSample:
    """Runs a config from the first bar to the last test bar of a window; only the test bars count.

    So indicators are warm and positions carry into the test bars. An objective that returns no returns per bar runs on the
    test bars alone.

    Args:
        objective: of the study.
        config: the one that was chosen.
        metric: of the study.
        bundle: the prices.
        window: its test bars.
        seed: of the trial.
    """
    try:
        view = bundle.view(window.test_stop).for_trial(seed)
        bars = window.test_bars
        answer = answer_of(objective, config, view)
        path = path_of(answer, view, metric)
        metrics = metrics_on(answer, lambda part: answer_of(objective, config, part), view, bars, metric)
        return OutOfSample(metrics, None if path is None else np.array(path.returns[bars]))
    except BaseException as error:  # a window without a result must not fail the study
        return OutOfSample({}, error=describe(error))
