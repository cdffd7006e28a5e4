"""The figures of a comparison against scipy's, and against brute force where it has none."""

import itertools

import numpy as np
import pytest
from scipy import stats

from rbt_ray.bench import (
    Pairs,
    Sample,
    Thresholds,
    cliffs_delta,
    compare,
    median_with_interval,
    paired,
    ratio_with_interval,
)
from rbt_ray.bench.significance import carry_over
from rbt_ray.errors import BenchError, NotEquivalentError, SettingError


def by_turns(baseline, candidate, **options):
    ours = (iter(baseline), iter(candidate))
    return paired(lambda: next(ours[0]), lambda: next(ours[1]), warmup=0, runs=len(baseline), **options)


@pytest.fixture
def times():
    rng = np.random.default_rng(5)
    drift = np.linspace(1, 3, 12)
    return drift * rng.lognormal(0, 0.02, 12), 0.9 * drift * rng.lognormal(0, 0.02, 12)


def test_p_values_are_those_of_the_textbooks(times):
    found = compare(by_turns(*times))
    a, b = times
    variances = a.var(ddof=1) / 12, b.var(ddof=1) / 12
    t = (a.mean() - b.mean()) / np.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / sum(v**2 / 11 for v in variances)
    assert found.welch_p == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-12)
    ranks = stats.rankdata(abs(a - b))
    least = min(ranks[a > b].sum(), ranks[a < b].sum())
    signs = np.array(list(itertools.product([0, 1], repeat=12)))
    assert found.wilcoxon_p == pytest.approx(min(1, 2 * (signs @ ranks <= least).mean()), rel=1e-12)


def test_a_drift_that_both_meet_hides_nothing_from_pairs(times):
    found = compare(by_turns(*times))
    assert found.ratio_low < 0.9 < found.ratio_high
    assert found.ratio_high - found.ratio_low < 0.05  # unpaired, the drift alone would make it ten times as wide


def test_the_interval_of_a_ratio_is_scipys(times):
    a, b = times
    scipys = stats.bootstrap(
        (np.log(b / a),), np.mean, n_resamples=20_000, method="percentile", rng=1
    ).confidence_interval
    _, low, high = ratio_with_interval(a, b)
    # Two draws of 10,000 and 20,000 differ in a percentile by about 2 % of the interval's width.
    assert np.log([low, high]) == pytest.approx([scipys.low, scipys.high], abs=0.05 * (scipys.high - scipys.low))


def test_cliffs_delta_is_that_of_mann_whitneys_u(times):
    a, b = times
    assert cliffs_delta(a, b) == pytest.approx(2 * stats.mannwhitneyu(a, b).statistic / 144 - 1)
    assert cliffs_delta([2, 3], [1, 1]) == 1
    assert cliffs_delta([1, 2], [1, 2]) == 0


def test_the_median_of_results_that_never_reached_the_goal_is_infinite():
    assert median_with_interval([1.0, np.inf, np.inf]) == (np.inf, 1.0, np.inf)


@pytest.mark.parametrize(
    ("baseline", "candidate", "words"),
    [
        ([1.0, 1.0, 1.01, 1.01] * 3, [0.97, 0.97, 0.96, 0.96] * 3, "it saves"),
        ([1.0, 1.0, 9.0, 9.0] * 3, [0.9, 0.9, 9.1, 9.1] * 3, "Welch's p"),
    ],
)
def test_a_rejection_gives_its_reasons(baseline, candidate, words):
    found = compare(by_turns(baseline, candidate))
    assert found.verdict == "rejected"
    assert words in found.reason


def measured(seconds, **changes):
    """A run for each of these seconds, in a gigabyte."""
    return [Sample(value, **{"peak_pss": 10**9, **changes}) for value in seconds]


ONE_SECOND = [1.0, 1.003, 1.001, 1.002, 1.004, 1.0, 1.002, 1.001, 1.003, 1.0]
HALF = [0.5 * value for value in ONE_SECOND]


def test_ten_measured_runs_of_both_sides_are_accepted():
    assert compare(by_turns(measured(ONE_SECOND), measured(HALF))).verdict == "accepted"


@pytest.mark.parametrize(
    ("baseline", "candidate", "words"),
    [
        (measured(ONE_SECOND, not_run=True), measured(HALF), "the baseline was computed and not run"),
        (measured(ONE_SECOND), measured(HALF, not_run=True), "the candidate was computed and not run"),
        (measured(ONE_SECOND, result={"seconds": 500.0}), measured(HALF), "took less than the time it gave"),
        (measured(ONE_SECOND, peak_pss=0), measured(HALF), "peak memory of some runs was not measured"),
        (measured(ONE_SECOND), [*measured(HALF[1:]), Sample(0.5)], "peak memory of some runs was not measured"),
        (ONE_SECOND, HALF, "peak memory of some runs was not measured"),
        (measured([1.0, 2.0] * 5), measured(HALF), "the baseline takes 100% longer after a run of the candidate"),
        (measured(ONE_SECOND), measured([0.6, 0.5] * 5), "the candidate takes 20% longer after a run of the baseline"),
    ],
)
def test_runs_that_decide_nothing(baseline, candidate, words):
    found = compare(by_turns(baseline, candidate))
    assert (found.verdict, found.accepted) == ("not decided", False)
    assert words in found.reason


@pytest.mark.parametrize("thresholds", [Thresholds.default(), Thresholds.lenient(), Thresholds(runs=2)])
def test_nine_runs_give_no_verdict_under_any_thresholds(thresholds):
    found = compare(by_turns(measured(ONE_SECOND[:9]), measured(HALF[:9])), thresholds=thresholds)
    assert found.verdict == "not decided"
    assert "there are 9 runs of each, fewer than the required 10" in found.reason
    slower = compare(by_turns(measured(HALF[:9]), measured(ONE_SECOND[:9])), thresholds=thresholds)
    assert slower.verdict == "not decided"


def test_a_slower_candidate_is_rejected_without_a_word_on_memory():
    assert compare(by_turns(HALF, ONE_SECOND)).verdict == "rejected"


def test_a_side_that_carries_over_has_no_interval():
    found = compare(by_turns(measured([1.0, 2.0] * 5), measured(HALF)))
    assert (found.ratio_low, found.ratio_high) == (None, None)
    fair = compare(by_turns(measured(ONE_SECOND), measured(HALF)))
    assert fair.ratio_low <= 0.5 <= fair.ratio_high


def test_a_machine_that_slows_down_is_no_carry_over():
    slower = np.linspace(1, 3, 10)
    found = compare(by_turns(measured(slower * ONE_SECOND), measured(slower * HALF)))
    assert found.carry_over_p > 0.05
    alternating = compare(by_turns(measured(slower * ONE_SECOND * ([1, 1.3] * 5)), measured(slower * HALF)))
    assert alternating.carry_over_p < 0.05


def test_a_carry_over_that_no_verdict_could_notice_is_none():
    """Half a percent in half of the runs, without noise."""
    found = compare(by_turns(measured([1.0, 1.005] * 5), measured([0.5, 0.5] * 5)))
    assert found.carry_over_p < 0.05
    assert found.verdict == "accepted"


def test_equal_times_are_no_carry_over():
    assert compare(by_turns([0.1] * 10, [0.2] * 10)).carry_over_p == 1


def test_independent_runs_are_refused_as_often_as_the_level_says():
    """Of 300 comparisons without carry-over. Ranks of ten runs reach at most 0.0159 a side, 0.03 for both; 18 is 0.1 % above."""
    rng = np.random.default_rng(3)
    pairs = Pairs(tuple(measured(ONE_SECOND)), tuple(measured(HALF)), None)
    refused = sum(
        2
        * min(
            carry_over(rng.lognormal(0, 0.1, 10), pairs.after_other(side), pairs.positions(side))[0]
            for side in (False, True)
        )
        < 0.05
        for _ in range(300)
    )
    assert refused <= 18


def test_what_ran_before_is_what_the_order_says():
    """Each side's time depends on what ran before it, and the two kinds of runs are told apart without an error."""
    before = []

    def run(side, cost):
        follows_other = bool(before) and before[-1] != side
        before.append(side)
        return Sample(cost * (1.5 if follows_other else 1.0))

    pairs = paired(lambda: run("A", 1.0), lambda: run("B", 0.5), runs=6)
    order = sorted([*((at, "A") for at in pairs.positions(False)), *((at, "B") for at in pairs.positions(True))])
    assert [side for _, side in order] == before[2:]
    assert (np.array([one.seconds for one in pairs.baseline]) == 1.5).tolist() == pairs.after_other(False).tolist()
    assert (np.array([one.seconds for one in pairs.candidate]) == 0.75).tolist() == pairs.after_other(True).tolist()


def test_memory_counts_as_a_share_of_the_machines():
    psutil = pytest.importorskip("psutil")
    total = psutil.virtual_memory().total
    base = [Sample(1.0 + i / 1e3, peak_pss=10**8) for i in range(10)]
    for share, accepted in ((0.019, True), (0.021, False)):
        candidate = [Sample(0.5 + i / 1e3, peak_pss=10**8 + round(share * total)) for i in range(10)]
        found = compare(by_turns(base, candidate))
        assert found.accepted is accepted
        assert found.memory_overhead == pytest.approx(share, rel=1e-6)


def test_profiles_are_ordered():
    strict, default, lenient = (Thresholds.named(name) for name in ("strict", "default", "lenient"))
    assert lenient.runs == default.runs < strict.runs
    for name, sign in (("gain", 1), ("p", -1), ("memory", -1)):
        values = [sign * getattr(one, name) for one in (lenient, default, strict)]
        assert values == sorted(set(values))
    with pytest.raises(SettingError, match="did you mean 'strict'"):
        Thresholds.named("strct")


def test_runs_go_a_b_b_a():
    order = []
    paired(lambda: order.append("A") or 1.0, lambda: order.append("B") or 1.0, runs=4, warmup=0)
    assert "".join(order) == "ABBAABBA"


def test_runs_after_each_change_are_discarded():
    order = []
    pairs = paired(lambda: order.append("A") or 1.0, lambda: order.append("B") or 1.0, runs=3, warmup=0, discard=1)
    assert "".join(order) == "AbBBaAAbB".upper()
    assert len(pairs.baseline) == len(pairs.candidate) == 3


@pytest.mark.parametrize("late", [0, 1])
def test_candidates_with_different_results_are_not_timed(late):
    digests = iter(["t"] * (2 * late) + ["t", "u"])

    def run():
        return Sample(1.0, result={"digest": next(digests)})

    with pytest.raises(NotEquivalentError, match="trial tables differ"):
        paired(run, run, runs=3)


def test_one_side_prints_a_digest_and_the_other_none():
    with pytest.raises(NotEquivalentError, match="candidate has none"):
        paired(lambda: Sample(1.0, result={"digest": "t"}), lambda: 1.0, runs=3)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan"), float("inf"), "1", None, True])
def test_a_run_that_took_no_number_of_seconds(seconds):
    with pytest.raises(BenchError, match="a number of seconds above 0"):
        paired(lambda: Sample(1.0, result={"seconds": seconds}), lambda: 1.0)
