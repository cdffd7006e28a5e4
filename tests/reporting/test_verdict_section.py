"""The part of the report about the verdict: word, checks, charts, evidence and windows, of studies that really ran."""

import html
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.analysis.recorded import verdict_inputs
from rbt_ray.analysis.verdict import judge
from rbt_ray.block_sums import block_ends
from rbt_ray.reporting.heat_map import outline, plateau_of
from rbt_ray.reporting.html import page
from rbt_ray.reporting.text import compact, sentence
from rbt_ray.store.study_record import read_study

SPACE = {"fast": rbt.randint(2, 40), "slow": rbt.randint(41, 90)}
CROSS = rbt.objectives.sma_cross()


@pytest.fixture(scope="module")
def bundle():
    """Two symbols, 700 bars."""
    prices = rbt.load_bundle("sample")
    return rbt.Bundle.from_arrays({"close": prices.close[:700, [0, 3]]}, prices.index[:700], ["A", "B"])


def fit(folder, name, bundle, objective=CROSS, space=None, **tune):
    return rbt.Tuner(
        objective,
        param_space=space or SPACE,
        bundle=bundle,
        tune_config=rbt.TuneConfig(**{"search_alg": "random", "num_samples": 60, "seed": 3, **tune}),
        run_config=rbt.RunConfig(name=name, storage_path=folder, backend="local", num_workers=1, verbose=0),
    ).fit()


@pytest.fixture(scope="module")
def held_out(tmp_path_factory, bundle):
    """A study with a hold-out, its report and the report's text."""
    folder = tmp_path_factory.mktemp("held_out")
    results = fit(folder, "study", bundle, holdout=0.25)
    return results, results.report(folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def validated(tmp_path_factory, bundle):
    """The record of a study with a validation."""
    folder = tmp_path_factory.mktemp("validated")
    return read_study(fit(folder, "study", bundle, num_samples=12, validation=rbt.CPCV(6, 2)).path)


def section_of(text):
    return re.search('<section id="verdict".*?\n</section>', text, re.DOTALL).group(0)


def test_word_sentence_and_each_check_with_its_value_come_first(held_out, read_page):
    results, text = held_out
    verdict, section = results.verdict(), section_of(text)
    assert text.index('id="verdict"') < text.index("<h2>The winner</h2>")
    assert f"<h2>{verdict.word}</h2>" in section
    assert verdict.sentence in read_page(section).text
    cards = re.findall(r'<article class="check ([\w-]+)" data-check="([\w ]+)">(.*?)</article>', section, re.DOTALL)
    assert [(state, name) for state, name, _ in cards] == [(c.state, c.name) for c in verdict.checks]
    for check, (_, _, card) in zip(verdict.checks, cards, strict=True):
        assert json.loads(re.search('data-value="([^"]+)"', card).group(1)) == check.value
        assert 'class="band"' in card
        assert {"pass": "✓", "weak": "~", "fail": "✗"}[check.state] in card


def test_the_value_and_the_band_are_where_the_scale_has_them(held_out):
    results, text = held_out
    check = results.verdict().checks[1]
    card = re.search('data-check="ranking carries over">(.*?)</article>', text, re.DOTALL).group(1)
    zones = re.findall(r'class="zone (\w+)" style="left:([\d.]+)%;width:([\d.]+)%"', card)
    assert [(name, float(left), float(width)) for name, left, width in zones] == [
        ("pass", 0, 20), ("weak", 20, 30), ("fail", 50, 50),
    ]  # fmt: skip
    assert float(re.search(r'class="value" style="left:([\d.]+)%', card).group(1)) == pytest.approx(
        100 * check.value, abs=0.01
    )
    left, width = map(float, re.search(r'class="band" style="left:([\d.]+)%;width:([\d.]+)%', card).groups())
    assert (left, left + width) == pytest.approx([100 * end for end in check.null_band], abs=0.02)


def test_evidence_and_settings_follow(held_out, read_page):
    results, text = held_out
    page, found = read_page(section_of(text)).text, results.verdict().evidence
    assert f"Deflated Sharpe ratio {found['deflated_sharpe']:.3f}" in page
    assert (
        f"Sharpe ratio on the other half {found['out_of_sample_sharpe']:.2f} (holding {found['out_of_sample_benchmark']:.2f})"
        in page
    )
    assert "of 60 trials" in page
    assert "bars held out 175" in page


def test_the_stitched_returns_are_those_of_the_chosen_trials(held_out, read_page):
    """Computed again by running the chosen configs."""
    results, text = held_out
    lines = read_page(text).figures["out-of-sample:0"]["data"]
    assert [line["name"] for line in lines] == ["the choice", "holding"]
    n_train = results.study.bundle.train_bars
    ends = [0, *block_ends(n_train).tolist()]
    sums, benchmark = results.block_sums()
    ratios = []
    for first in range(8):
        bars = benchmark.lengths[first : first + 8].sum()
        mean = sums.sums[:, first : first + 8].sum(axis=1) / bars
        ratios.append(mean / np.sqrt(sums.squares[:, first : first + 8].sum(axis=1) / bars - mean**2))
    chosen = sums.trials[np.argmax(ratios, axis=1)]
    prices = rbt.load_bundle("sample")
    prices = rbt.Bundle.from_arrays({"close": prices.close[:n_train, [0, 3]]}, prices.index[:n_train], ["A", "B"])
    total, expected = 0.0, [0.0]
    for block, trial in zip(range(8, 16), chosen, strict=True):
        config = results[int(trial)].config
        returns = CROSS(config, prices.view()).returns
        total += returns[ends[block] : ends[block + 1]].sum()
        expected.append(total)
    np.testing.assert_allclose(lines[0]["y"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(lines[1]["y"][-1], benchmark.sums[8:].sum(), rtol=1e-5)


def test_the_logits_have_their_band(held_out, read_page):
    results, text = held_out
    bars, low, high = read_page(text).figures["logits:0"]["data"]
    logits = results.verdict().logits
    np.testing.assert_allclose(bars["y"], logits.shares, rtol=1e-5)
    np.testing.assert_allclose(low["y"][::2], logits.low, rtol=1e-5)
    np.testing.assert_allclose(high["y"][::2], logits.high, rtol=1e-5)


def windows_of(text):
    """The cells of each table of windows, by its title."""
    found = {}
    for title, table in re.findall(
        r'<div class="scroll"[^>]* aria-label="([^"]+)"><table class="windows">(.*?)</table>', text
    ):
        rows = re.findall("<tr>(.*?)</tr>", table.partition("<tbody>")[2])
        found[title] = [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return found


def test_rolling_and_anchored_windows_have_dates_and_parameters(held_out, bundle):
    results, text = held_out
    tables = windows_of(text)
    assert list(tables) == ["Rolling, 8 blocks to choose on and 1 to test", "Anchored at the first bar"]
    ends = block_ends(results.study.bundle.train_bars)
    day = [str(time)[:10] for time in bundle.index]
    for number, (rolling, anchored) in enumerate(zip(*tables.values(), strict=True)):
        start = 0 if number == 0 else ends[number - 1]
        last, after = ends[number + 7], ends[number + 8]
        assert rolling[1] == f"{day[start]} to {day[last - 1]}"
        assert anchored[1] == f"{day[0]} to {day[last - 1]}"
        for row in (rolling, anchored):
            assert row[2] == f"{day[last]} to {day[after - 1]}"
            config = results[int(row[3])].config
            assert row[4:6] == [str(config["fast"]), str(config["slow"])]


@pytest.mark.parametrize(
    "validation", [rbt.WalkForward(train=8, test=1), rbt.CPCV(6, 2, purge=3)], ids=["walk-forward", "cpcv"]
)
def test_a_validation_is_shown_as_it_was_computed(tmp_path, bundle, read_page, validation):
    results = fit(tmp_path, "study", bundle, num_samples=12, validation=validation)
    text = results.report(tmp_path / "report.html").read_text("utf-8")
    found, rows = results.walk_forward(), windows_of(text)[results.study.validation.name]
    assert [row[3] for row in rows] == [str(window.trial) for window in found.windows]
    assert [float(row[-1]) for row in rows] == pytest.approx(
        [one.out_of_sample for one in found.windows], abs=1e-3, nan_ok=True
    )
    lines = read_page(text).figures["out-of-sample:0"]["data"]
    assert len(lines) == len(found.paths) + 1
    assert lines[0]["y"][-1] == pytest.approx(found.equity[-1], rel=1e-5)
    assert lines[-1]["y"][-1] == pytest.approx(found.benchmark_equity[-1], rel=1e-5)


@pytest.mark.parametrize("value", [math.nan, 1e300, -1.0, 0.0])
@pytest.mark.parametrize("name", ["returns", "benchmark"])
def test_a_report_can_have_any_returns_of_a_validation(tmp_path, validated, name, value):
    curves = {key: np.array(curve) for key, curve in validated.validated.curves.items()}
    curves[name][::3] = value
    try:
        record = replace(validated, validated=replace(validated.validated, curves=curves))
    except ValueError:  # a journal with them is refused
        assert math.isnan(value)
        return
    verdict = judge(verdict_inputs(record))
    json.dumps(verdict.to_dict(), allow_nan=False)
    assert verdict.sentence in html.unescape(page(record, verdict))


def test_a_search_that_learns_without_an_audit_set_has_evidence_but_no_charts(tmp_path, bundle, read_page):
    results = fit(tmp_path, "study", bundle, search_alg="tpe", num_samples=20)
    text = results.report(tmp_path / "report.html").read_text("utf-8")
    section = section_of(text)
    assert section.count("not checked</p>") == 3
    assert "<code>audit=128</code>" in section
    assert "Haircut Sharpe ratio" in section
    assert not {"logits:0", "out-of-sample:0"} & read_page(text).figures.keys()
    assert windows_of(text) == {}


def test_too_little_is_one_sentence(tmp_path, rng, write_crossings, read_page):
    text = write_crossings(tmp_path, rng).report(tmp_path / "report.html").read_text("utf-8")
    section = section_of(text)
    said = "No returns are recorded, from a Backtest or as <code>returns</code>."
    assert f'<h2>TOO LITTLE TO SAY</h2>\n<p class="sentence">{said}</p>' in section
    assert not {"article", "table"} & {tag for tag, _ in read_page(section).tags}


def test_hostile_names_stay_texts(tmp_path, read_page, hostile_text):
    """In the metric, a parameter, an option and the symbol that trials are compared with."""
    prices = rbt.load_bundle("sample")
    hostile = rbt.Bundle.from_arrays(
        {"close": prices.close[:400, [0, 3]]}, prices.index[:400], [hostile_text, f"{hostile_text} `x`"]
    )

    name = "<img src=x onerror=alert(1)>"  # "/" joins names of nested parameters

    def objective(params, data):
        weights = np.full((data.n_bars, 2), 0.1 * params[name])
        weights[:: params["every"]] = 0.0
        run = rbt.backtest(data, weights)
        return {hostile_text: float(np.sum(run.returns)), "returns": np.array(run.returns)}

    space = {name: rbt.choice([1, 2, 3]), "every": rbt.randint(2, 20), "kind": rbt.choice([hostile_text, "b"])}
    results = fit(
        tmp_path, "study", hostile, objective, space, metric=hostile_text, num_samples=10, benchmark=hostile_text,
        validation=rbt.WalkForward(train=8, test=1),
    )  # fmt: skip
    text = results.report(tmp_path / "report.html").read_text("utf-8")
    page = read_page(text)
    assert len(results.verdict().checks) == 3
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 3
    assert "img" not in tags
    assert f"A {hostile_text} of" in page.text
    assert page.text.count(f"holding {hostile_text}") >= 4
    assert sentence("`<b>` & `x`") == "<code>&lt;b&gt;</code> &amp; <code>x</code>"


def test_a_plateau_is_connected_with_the_best_and_at_least_halfway_up():
    nan = math.nan
    grid = np.array([[0, 0, 0, 9, 9], [0, 6, 10, 0, 9], [0, 5, 0, 0, nan], [0, 4, 0, 0, 0]], float)
    assert plateau_of(grid).tolist() == [
        [False] * 5,
        [False, True, True, False, False],
        [False, True, False, False, False],
        [False] * 5,
    ]
    assert plateau_of(np.full((2, 3), 4.0)).all()
    assert plateau_of(np.array([[nan, -3.0]])).tolist() == [[False, True]]


def test_the_outline_of_cells_has_every_edge_once():
    square = outline(np.array([[False, True]]))
    assert sorted(square.split("M")[1:]) == [
        "0.5,-0.5L0.5,0.5",
        "0.5,-0.5L1.5,-0.5",
        "0.5,0.5L1.5,0.5",
        "1.5,-0.5L1.5,0.5",
    ]
    assert outline(np.ones((3, 4), bool)).count("M") == 14


def test_charts_carry_six_digits_and_whole_numbers_exactly():
    given = {"x": [1_234_567_890_123.0, 0.123456789, None, "a", True, 7, (2.0, math.inf)], "y": 1e300}
    found = compact(given)
    assert found == {"x": [1_234_567_890_123, 0.123457, None, "a", True, 7, [2, math.inf]], "y": 1e300}
    assert [type(value) for value in found["x"][:1]] == [int]


@rbt.batched
def of_noise(params, data):
    """Returns normal returns, which the parameters do not change."""
    found = []
    for one in params:
        returns = np.random.default_rng(one["c"] + 1000 * one["p0"]).normal(3e-4, 0.01, data.n_bars)
        found.append({"sharpe": float(returns.mean() / returns.std() * 252**0.5), "returns": returns})
    return found


@pytest.mark.slow  # a hundred thousand trials with returns
def test_a_report_on_a_hundred_thousand_trials_is_below_six_megabytes(tmp_path):
    space = {f"p{i}": rbt.randint(0, 1_000) for i in range(3)} | {"c": rbt.randint(0, 1_000)}
    space |= {"a": rbt.uniform(0, 1), "b": rbt.loguniform(1e-4, 1)}
    results = fit(tmp_path, "study", "sample", of_noise, space, num_samples=100_000, holdout=0.25)
    assert len(results) == 100_000
    assert len(results.verdict().checks) == 3
    assert results.report(tmp_path / "report.html").stat().st_size < 6e6
