"""Objectives that report: when they end, what their result is, and where they continue."""

import contextlib
import math

import pytest

import rbt_ray as rbt
from rbt_ray.objectives.objective import as_evaluator
from rbt_ray.objectives.reports import ReportRange
from rbt_ray.study.space import Space
from rbt_ray.types import COMPLETED, FAILED

SPACE = Space.of({"rate": rbt.uniform(0.0, 1.0)})
POINTS = SPACE.encode([{"rate": 0.25}, {"rate": 0.5}])


def converging(params, data):
    """Goes to `rate` in ever smaller steps; can go on anywhere."""
    value, start = rbt.get_checkpoint() or (0.0, 0)
    for n in range(start, 1000):
        value += (params["rate"] - value) / 3
        rbt.report({"value": value, "n": n + 1}, checkpoint=(value, n + 1))


def forgetful(params, data):
    """The same, always from the start; counts how often it was called with how much work."""
    value = 0.0
    for n in range(1000):
        value += (params["rate"] - value) / 3
        rbt.report({"value": value, "n": n + 1})


def score(objective, span=ReportRange()):  # noqa: B008 - frozen
    return as_evaluator(objective, SPACE, "value").score(None, POINTS, [1, 2], span)


def column(outcomes, name):
    return outcomes.metrics[name].to_list()


@pytest.mark.parametrize("objective", [converging, forgetful])
def test_the_last_report_asked_for_is_the_result(objective):
    outcomes = score(objective, ReportRange(stop=7))
    assert column(outcomes, "n") == [7, 7]
    assert column(outcomes, "value") == pytest.approx([0.25 * (1 - (2 / 3) ** 7), 0.5 * (1 - (2 / 3) ** 7)])


def test_continuing_from_a_checkpoint_gives_the_same_result():
    first = score(converging, ReportRange(stop=7))
    begun = []

    def watched(params, data):
        begun.append(rbt.get_checkpoint()[1])
        converging(params, data)

    second = score(watched, ReportRange(stop=21, starts=first.checkpoints))
    assert begun == [7, 7]
    assert column(second, "value") == column(score(forgetful, ReportRange(stop=21)), "value")


def test_only_reported_checkpoints_are_returned():
    assert not score(forgetful, ReportRange(stop=7)).checkpoints
    assert set(score(converging, ReportRange(stop=7)).checkpoints) == {0, 1}


def test_a_checkpoint_from_further_on_does_not_count():
    far = score(converging, ReportRange(stop=30))
    assert column(score(converging, ReportRange(stop=10, starts=far.checkpoints)), "n") == [10, 10]


def test_an_objective_that_ends_earlier_has_its_own_result():
    def short(params, data):
        rbt.report(0.1)
        return 0.2

    assert column(score(short, ReportRange(stop=7)), "value") == [0.2, 0.2]


def test_returning_nothing_means_the_last_report():
    def quiet(params, data):
        for n in range(3):
            rbt.report(float(n))

    outcomes = score(quiet)
    assert column(outcomes, "value") == [2.0, 2.0]
    assert not outcomes.checkpoints


def test_an_objective_that_neither_returns_nor_reports_fails_with_a_sentence():
    outcomes = score(lambda params, data: None)
    assert outcomes.status.tolist() == [FAILED, FAILED]
    assert "return a number" in outcomes.errors[0]


def test_catching_everything_does_not_keep_an_objective_running():
    def stubborn(params, data):
        for n in range(100):
            with contextlib.suppress(BaseException):
                rbt.report(float(n))
        return math.pi

    outcomes = score(stubborn, ReportRange(stop=5))
    assert outcomes.status.tolist() == [COMPLETED, COMPLETED]
    assert column(outcomes, "value") == [math.pi, math.pi]


def test_a_checkpoint_that_cannot_be_pickled_fails_that_trial_alone():
    def locked(params, data):
        import threading

        for n in range(10):
            rbt.report(float(n), checkpoint=threading.Lock() if params["rate"] < 0.3 else n)

    outcomes = score(locked, ReportRange(stop=5))
    assert outcomes.status.tolist() == [FAILED, COMPLETED]
    assert "pickle" in outcomes.errors[0]


def test_outside_a_study_reporting_does_nothing():
    assert rbt.get_checkpoint() is None
    converging({"rate": 0.5}, None)
