"""The verdict: its rule, its words, and what it does with too little data."""

import dataclasses
import itertools
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from rbt_ray.analysis import verdict as module
from rbt_ray.analysis.checks import Check, disagreements, luck_sentence
from rbt_ray.analysis.evidence import Moments
from rbt_ray.analysis.luck import LuckTest
from rbt_ray.analysis.verdict import VerdictInputs, judge
from rbt_ray.analysis.walk_forward import WalkForwardResult, walk_forward_of_sums
from rbt_ray.block_sums import Benchmark, BlockSums

STATES = ("pass", "weak", "fail", "not checked")


def inputs(seed=1, n_trials=40, n_bars=1600, planted=0.0, drift=0.0004, **changes):
    """Returns what a study of noise gives; `planted` is the t-value of the skill of trial 7, which is then the best."""
    rng = np.random.default_rng(seed)
    benchmark = rng.normal(drift, 0.01, n_bars)
    returns = rng.normal(0.0, 0.01, (n_bars, n_trials)) + 0.5 * benchmark[:, None]
    if n_trials > 7:
        returns[:, 7] += planted * 0.01 / n_bars**0.5
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    sums, beside = BlockSums.of(returns, benchmark), Benchmark.of(benchmark, 252.0)
    best = int(np.argmax(ratios))
    plain = VerdictInputs(
        sums, beside, best, float(ratios[best]) * 252**0.5, "sharpe", n_trials, n_trials,
        walk_forward=walk_forward_of_sums(sums, beside, 8, 1, False),
        moments=Moments(n_bars, float(ratios[best]), 0.1, 3.2),
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def rule(luck, ranking, unseen):
    """The rule as the documentation has it."""
    if luck == "pass" and "fail" not in (ranking, unseen) and "not checked" not in (ranking, unseen):
        return "HOLDS UP SO FAR"
    if luck == "fail" and not ranking == unseen == "pass":
        return "LUCK EXPLAINS IT"
    return "NOT SHOWN"


def test_every_combination_of_states_gives_the_word_of_the_rule():
    words = set()
    for states in itertools.product(STATES, repeat=3):
        checks = [Check(name, 0.0, None, state, "") for name, state in zip("abc", states, strict=True)]
        words.add(module._word(*checks))
        assert module._word(*checks) == rule(*states)
    assert words == {"HOLDS UP SO FAR", "LUCK EXPLAINS IT", "NOT SHOWN"}
    assert rule("pass", "weak", "weak") == "HOLDS UP SO FAR"
    assert rule("fail", "pass", "pass") == "NOT SHOWN"
    assert rule("pass", "pass", "not checked") == "NOT SHOWN"


def test_skill_holds_up_and_noise_does_not():
    skilled, noise = judge(inputs(planted=6.5)), judge(inputs(2))
    assert skilled.word == "HOLDS UP SO FAR", skilled
    assert [check.name for check in skilled.checks] == ["beats luck", "ranking carries over", "unseen bars"]
    assert [check.state for check in skilled.checks] == ["pass", "pass", "pass"]
    assert noise.word in ("LUCK EXPLAINS IT", "NOT SHOWN")
    assert noise.checks[0].value > 0.05
    for check in (*skilled.checks, *noise.checks):
        low, high = check.null_band
        assert low < high
        assert check.sentence.endswith(".")
    low, high = noise.checks[1].null_band
    assert low < 0.5 < high


def test_the_paragraph_reads_as_documented():
    """NOT SHOWN. 0.97 is the best of 402. Chosen on one half of history it gave 0.66 on the other; holding gave 0.64. ..."""
    walk = WalkForwardResult((), 1.07, 0.74, 5.0)
    found = judge(inputs(2, walk_forward=walk, best_value=0.97, n_trials=402, n_evaluations=402, drift=0.0004))
    chosen, held = (found.evidence[f"out_of_sample_{name}"] for name in ("sharpe", "benchmark"))
    share = found.checks[0].value
    percent = f"{100 * share:.0f}" if share >= 0.0995 else f"{100 * share:.1f}"
    assert found.sentence == (
        f"0.97 is the best of 402. Chosen on one half of history it gave {chosen:.2f} on the other; holding gave "
        f"{held:.2f}. Luck alone gives so large an edge over holding {percent} % of the time. Walk-forward disagrees (1.07, "
        f"holding 0.74): more years, not more trials, would decide."
    )
    assert str(found) == f"{found.word}. {found.sentence}"


def test_the_ranking_of_another_metric_is_checked_by_sharpe_ratio_and_says_so():
    by_sharpe, by_calmar = (judge(inputs(metric=metric)).checks[1] for metric in ("sharpe", "calmar"))
    assert by_calmar.sentence == f"{by_sharpe.sentence} Here the best is that by Sharpe ratio, not by calmar."
    assert "by Sharpe" not in by_sharpe.sentence


@pytest.mark.parametrize(
    ("holdout", "planted", "state", "words"),
    [
        ((1.0, 0.5), 6.5, "pass", "The hold-out agrees (1.00, holding 0.50)."),
        ((0.4, 0.5), 6.5, "weak", "The hold-out did not reach holding (0.40, holding 0.50)."),
        ((-0.2, -0.5), 6.5, "fail", "The hold-out disagrees (-0.20, holding -0.50): more years"),
        ((0.2, -0.5), 6.5, "pass", "The hold-out agrees (0.20, holding -0.50)."),
        ((-0.2, 0.5), 0.0, "fail", "The hold-out agrees (-0.20, holding 0.50)."),
        ((math.nan, 0.5), 6.5, "fail", "The hold-out disagrees (none, holding 0.50)"),
    ],
)
def test_a_hold_out_votes_before_the_walk_forward(holdout, planted, state, words):
    found = judge(inputs(planted=planted, holdout=holdout, holdout_years=2.0))
    assert found.checks[2].state == state
    assert words in found.sentence
    assert found.evidence["walk_forward_sharpe"] is not None
    if state == "fail":
        assert found.word != "HOLDS UP SO FAR"


def test_without_unseen_bars_it_does_not_hold_up():
    found = judge(inputs(planted=6.5, walk_forward=None))
    assert (found.word, found.checks[2].state, found.checks[2].value) == ("NOT SHOWN", "not checked", None)
    assert "set `holdout` or `validation`" in found.sentence


@pytest.mark.parametrize(
    ("statistic", "p_value", "has_benchmark", "sentence"),
    [
        (2.0, 0.12, True, "Luck alone gives so large an edge over holding 12 % of the time."),
        (4.0, 0.0, True, "Luck alone gives so large an edge over holding less than 0.1 % of the time."),
        (3.0, 0.0312, False, "Luck alone gives so large an edge 3.1 % of the time."),
        (0.0, 1.0, True, "It has no edge over holding."),
        (-1.0, 1.0, False, "Its mean return is not above 0."),
    ],
)
def test_luck_in_words(statistic, p_value, has_benchmark, sentence):
    study = SimpleNamespace(has_benchmark=has_benchmark, benchmark_name="holding", is_audit=False)
    assert luck_sentence(study, LuckTest(p_value, statistic, 2.5, 3.3, 9, 9)) == sentence


def test_without_a_benchmark_no_holding_is_named():
    rng = np.random.default_rng(3)
    returns = rng.normal(0, 0.01, (400, 20))
    zero = np.zeros(400)
    sums, beside = BlockSums.of(returns, zero), Benchmark.of(zero, 252.0)
    walk = walk_forward_of_sums(sums, beside, 8, 1, False)
    found = judge(VerdictInputs(sums, beside, 3, 0.5, "sharpe", 20, 20, walk_forward=walk))
    assert "holding" not in found.sentence + "".join(check.sentence for check in found.checks)
    json.dumps(found.to_dict(), allow_nan=False)


NO_RETURNS = "No returns are recorded, from a Backtest or as `returns`."


def flat_winner():
    plain = inputs()
    for part in (plain.sums.sums, plain.sums.squares, plain.sums.products):
        part[3] = 0.0
    return dataclasses.replace(plain, winner=3)


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        (lambda: inputs(sums=None), NO_RETURNS),
        (lambda: inputs(benchmark=None), NO_RETURNS),
        (lambda: inputs(winner=None), "There is no best trial."),
        (lambda: inputs(winner=None, sums=None, is_audit=True), "There is no best trial."),
        (lambda: inputs(winner=999), "The returns of the best trial are not recorded."),
        (lambda: inputs(n_trials=2), "2 trials have returns, and at least 3 are needed."),
        (lambda: inputs(n_trials=3, is_audit=True), "2 trials have returns, and at least 3 are needed."),
        (lambda: inputs(n_bars=31), "31 bars are too few, and at least 32 are needed."),
        (flat_winner, "The returns of the best trial are constant."),
    ],
)
def test_too_little_is_said_and_no_number_given(study, reason):
    found = judge(study())
    assert found.word == "TOO LITTLE TO SAY"
    assert found.sentence == reason
    assert (found.checks, dict(found.evidence)) == ((), {})
    assert found.to_dict()["checks"] == []


def test_a_search_that_learns_needs_an_audit_set():
    found = judge(inputs(planted=6.5, sums=None, is_audit=True, holdout=(1.2, 0.5)))
    assert found.word == "NOT SHOWN"
    assert "`audit=128`" in found.sentence
    assert [check.state for check in found.checks] == ["not checked", "not checked", "pass"]


def test_the_winner_of_an_audited_search_is_in_the_luck_check_alone():
    plain = inputs(planted=6.5)
    others = BlockSums(*(part[np.arange(40) != 7] for part in dataclasses.astuple(plain.sums)))
    alone = judge(dataclasses.replace(plain, sums=others, winner=8))
    audited = judge(dataclasses.replace(plain, is_audit=True, n_evaluations=400))
    assert audited.checks[1].value == alone.checks[1].value  # PBO of the others
    assert "approximate" in audited.checks[0].sentence
    assert "39 configs drawn at random" in audited.checks[1].sentence
    assert audited.checks[0].value >= judge(plain).checks[0].value
    assert judge(dataclasses.replace(plain, winner_is_drawn=False)).checks[1].value == alone.checks[1].value


def test_trials_without_finite_returns_are_left_out_with_a_caveat():
    plain = inputs(planted=6.5, caveats=("Costs are low.",))
    plain.sums.squares[3, 4], plain.sums.products[5, 0] = np.inf, np.nan
    found = judge(plain)
    assert found.word == "HOLDS UP SO FAR"
    assert found.caveats == ("Costs are low.", "2 trials with returns that are not finite are left out.")
    plain.benchmark.sums[2] = np.nan
    assert judge(plain).word == "TOO LITTLE TO SAY"


def test_it_is_plain_json_and_the_same_every_time():
    study = inputs(planted=3.0)
    once, again = (json.dumps(judge(study).to_dict(), allow_nan=False, sort_keys=True) for _ in range(2))
    assert once == again
    assert json.loads(once)["checks"][0]["null_band"] == [0.05, 0.95]
    losing = inputs(drift=-0.01, walk_forward=None)  # no minimum backtest length for a ratio below 0
    found = json.loads(json.dumps(judge(losing).to_dict(), allow_nan=False))
    assert found["evidence"]["min_backtest_years"] is None


def test_evidence_uses_every_evaluation_and_the_variance_of_trials():
    study = inputs(planted=3.0)
    n_bars = study.benchmark.lengths.sum()
    mean = study.sums.sums.sum(axis=1) / n_bars
    ratios = mean / np.sqrt((study.sums.squares.sum(axis=1) - n_bars * mean**2) / (n_bars - 1))
    found = judge(study).evidence
    best = ratios.max()
    shape = {"n_obs": n_bars, "skew": 0.1, "kurtosis": 3.2}
    from rbt_ray import analysis

    deflated = analysis.deflated_sharpe_ratio(best, n_trials=40, variance=ratios.var(ddof=1), **shape)
    assert found["deflated_sharpe"] == pytest.approx(deflated)
    assert found["probabilistic_sharpe"] == pytest.approx(analysis.probabilistic_sharpe_ratio(best, **shape))
    assert found["haircut_sharpe"] == pytest.approx(
        analysis.haircut_sharpe_ratio(best, n_obs=n_bars, n_trials=40) * 252**0.5
    )
    assert found["min_backtest_years"] == pytest.approx(analysis.min_backtest_length(40, best * 252**0.5))
    more = judge(dataclasses.replace(study, n_evaluations=4_000)).evidence
    assert more["deflated_sharpe"] < found["deflated_sharpe"]
    assert more["min_backtest_years"] > found["min_backtest_years"]


def test_another_metric_than_sharpe_is_named_and_the_choice_is_said_to_be_by_sharpe():
    found = judge(inputs(2, metric="total_return", best_value=2.3)).sentence
    assert found.startswith(
        "A total_return of 2.30 is the best of 40. Chosen by Sharpe ratio on one half of history it gave "
    )


def test_an_audited_search_says_that_the_best_half_is_of_configs_drawn_at_random():
    found = judge(inputs(2, is_audit=True, n_evaluations=400)).sentence
    assert "Of 39 configs drawn at random, the best on one half of history gave " in found


def test_the_kind_of_a_validation_is_named():
    found = judge(inputs(planted=6.5, walk_forward_name="cross-validation"))
    assert "Cross-validation agrees" in found.sentence
    assert found.checks[2].sentence.startswith("On the test ranges of cross-validation, ")


def test_an_unfinished_study_is_not_said_to_lack_a_hold_out():
    found = judge(inputs(sums=None, is_audit=True, walk_forward=None, is_done=False)).sentence
    assert "audit=128" not in found
    assert "set `holdout`" not in found
    assert found.count("not finished") == 2


def test_a_search_without_an_audit_set_has_the_evidence_that_needs_no_sample():
    found = judge(inputs(planted=6.5, sums=None, is_audit=True)).evidence
    whole = judge(inputs(planted=6.5)).evidence
    assert found["deflated_sharpe"] is None
    for name in ("sharpe", "probabilistic_sharpe", "min_backtest_years", "haircut_sharpe"):
        assert found[name] == pytest.approx(whole[name])


@pytest.mark.parametrize("passes", range(3))
@pytest.mark.parametrize("fails", range(3))
def test_a_check_that_fails_while_another_passes_is_a_disagreement(passes, fails):
    states = ["weak"] * 3
    states[passes], states[fails] = "pass", "fail"
    checks = [Check(name, 0.0, None, state, "") for name, state in zip("abc", states, strict=True)]
    assert len(disagreements(checks, inputs())) == (passes != fails)


@pytest.mark.parametrize(
    ("holdout", "walk", "differ"),
    [((0.3, 0.7), (1.1, 0.7), True), ((0.8, 0.7), (1.1, 0.7), False), ((0.3, 0.7), (0.2, 0.7), False),
     ((0.3, -0.7), (-0.2, -0.3), True)],
)  # fmt: skip
def test_a_hold_out_that_differs_from_the_walk_forward_is_a_disagreement(holdout, walk, differ):
    found = judge(inputs(2, holdout=holdout, walk_forward=WalkForwardResult((), *walk, 5.0))).disagreements
    sentence = (
        f"The hold-out gave {holdout[0]:.2f} (holding {holdout[1]:.2f}), and walk-forward on the training bars "
        f"{walk[0]:.2f} (holding {walk[1]:.2f})."
    )
    assert (sentence in found) == differ


def test_the_shares_of_logits_add_up_to_the_probability_of_overfitting():
    """And those of noise are mostly within their band."""
    skilled, noise = judge(inputs(planted=6.5)), judge(inputs(2))
    for found in (skilled, noise):
        logits = found.logits
        assert logits.shares.sum() == pytest.approx(1.0)
        assert logits.shares[logits.edges[1:] <= 0].sum() == pytest.approx(found.checks[1].value)
        assert (logits.low <= logits.high).all()
    is_within = [(x.low <= x.shares) & (x.shares <= x.high) for x in (noise.logits, skilled.logits)]
    assert is_within[0].mean() > 0.7 > is_within[1].mean()
