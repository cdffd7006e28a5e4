"""The completed share of a run: from its reports, through the journal, to the table."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.objectives.objective import as_evaluator
from rbt_ray.objectives.reports import ReportRange
from rbt_ray.store.events import Finished, pack, unpack
from rbt_ray.study.space import Space
from rbt_ray.types import COMPLETED, FAILED

SPACE = Space.of({"x": rbt.uniform(0.0, 1.0)})
SHARES = st.none() | st.sampled_from([1.0, 1, np.float32(0.5), 1e-9]) | st.floats(0.01, 1.0)
RUNS = st.lists(st.tuples(st.lists(SHARES, max_size=6), st.sampled_from([None, 0.5, math.nan])), min_size=1, max_size=5)


def expected(shares, returned, stop):
    """The share that a run has done; None where it fails."""
    made = shares if stop is None else shares[:stop]
    if (not made and (returned is None or stop is not None)) or (
        returned is not None and math.isnan(returned) and (stop is None or len(shares) < stop)
    ):
        return None
    last = made[-1] if made else None
    if stop is None:
        return 1.0 if last is None else float(last)
    return 1.0 if last == 1 else len(made) / stop


@settings(max_examples=300, deadline=None)
@given(runs=RUNS, stop=st.none() | st.integers(1, 5), asked=st.sampled_from([1.0, 1 / 3, 0.25]))
def test_a_run_has_the_share_that_its_last_report_says(runs, stop, asked):
    def objective(params, data):
        shares, returned = runs[round(params["x"] * len(runs))]
        for share in shares:
            rbt.report({"score": 2.0}, share=share)
        return returned

    points = np.arange(len(runs))[:, None] / len(runs)
    outcomes = as_evaluator(objective, SPACE, "score").score(None, points, [0] * len(runs), ReportRange(stop=stop))
    wanted = [expected(*run, stop) for run in runs]
    assert outcomes.status.tolist() == [FAILED if share is None else COMPLETED for share in wanted]
    assert outcomes.shares == {row: share for row, share in enumerate(wanted) if share is not None and share < 1}

    event = Finished(np.arange(len(runs)), points, asked, outcomes, "worker", 0.0, 0.0, 0.0)
    again = unpack(*pack(event)).outcomes
    assert again.shares == outcomes.shares
    assert again.reached(np.full(len(runs), asked)).tolist() == [asked * (share or 1.0) for share in wanted]


def test_a_batch_in_which_no_run_stopped_is_written_as_before():
    outcomes = Outcomes(np.zeros(2, np.uint8), {}, {}, np.zeros(2))
    assert "shares" not in pack(Finished(np.arange(2), np.zeros((2, 1)), 1.0, outcomes, "worker", 0.0, 0.0, 0.0))[1]


@pytest.mark.parametrize(
    "shares", [{0: 0.0}, {0: 1.0}, {0: math.nan}, {0: True}, {0: "0.5"}, {2: 0.5}, {-1: 0.5}, [0.5]]
)
def test_a_share_that_no_run_can_have_is_no_outcome(shares):
    with pytest.raises(ValueError, match="shares"):
        Outcomes(np.zeros(2, np.uint8), {}, {}, np.zeros(2), shares=shares).recordable(2)


@pytest.mark.parametrize("share", [0, -0.5, 1.5, math.nan, math.inf, "0.5", None.__class__])
def test_a_share_that_is_none_fails_the_trial_with_a_sentence(share):
    def objective(params, data):
        rbt.report(1.0, share=share)

    outcomes = as_evaluator(objective, SPACE, "score").score(None, np.zeros((1, 1)), [0])
    assert outcomes.status.tolist() == [FAILED]
    assert "`share` of `rbt.report` is the share of its data or work that the run has done" in outcomes.errors[0]
