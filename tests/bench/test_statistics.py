"""The figures of a comparison against scipy's, and against brute force where it has none."""

import itertools

import numpy as np
import pytest
from scipy import stats

from rbt_ray.bench import Sample, Thresholds, cliffs_delta, compare, median_with_interval, paired, ratio_with_interval
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
        ([1.0, 1.01] * 5, [0.97, 0.96] * 5, "it saves"),
        ([1.0, 1.01] * 4, [0.5, 0.51] * 4, "there are 8 runs"),
        ([1.0, 9.0] * 5, [0.9, 9.1] * 5, "Welch's p"),
    ],
)
def test_a_rejection_gives_its_reasons(baseline, candidate, words):
    found = compare(by_turns(baseline, candidate))
    assert not found.accepted
    assert words in found.reason


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
    for name, sign in (("gain", 1), ("runs", 1), ("p", -1), ("memory", -1)):
        values = [sign * getattr(one, name) for one in (lenient, default, strict)]
        assert values == sorted(set(values))
    with pytest.raises(SettingError, match="did you mean 'strict'"):
        Thresholds.named("strct")


def test_runs_go_a_b_b_a():
    order = []
    paired(lambda: order.append("A") or 1.0, lambda: order.append("B") or 1.0, runs=4, warmup=0)
    assert "".join(order) == "ABBAABBA"


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
