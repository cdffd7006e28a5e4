"""The report in a real browser: every chart is drawn, the console has no errors, and no injected code runs."""

import re
import subprocess

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.study.study import Address, BundleId
from tests import chromium

pytestmark = pytest.mark.browser

_NOISE = "GL Driver Message"  # the software renderer on its own speed


@pytest.fixture(scope="module")
def browser_path():
    return chromium.path_for("the report")


@pytest.fixture
def look(browser_path, tmp_path):
    """Returns the page after its scripts ran, and the console output."""

    def looked(path, *arguments):
        command = [
            browser_path,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-unsafe-swiftshader",  # parallel coordinates are drawn by WebGL
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1280,4000",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            *arguments,
            path.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line and _NOISE not in line]
        return done.stdout, console

    return looked


def chart_of(dom, key):
    """The markup of one chart."""
    begin = dom.index(f'id="{key}"')
    return dom[begin : dom.index("<figcaption>", begin)]


def drawn(dom):
    return dict(re.findall(r'id="([a-z-]+)" data-figure="[^"]+"[^>]* data-drawn="([^"]+)"', dom))


def test_every_chart_is_drawn(tmp_path, rng, write_crossings, look, read_page):
    path = write_crossings(tmp_path, rng).report(tmp_path / "report.html")
    dom, console = look(path, "--dump-dom")
    assert console == []
    keys = ["equity", "over-parameters", "history", "parallel", "workers"]
    assert drawn(dom) == {key: f"{key}:0" for key in keys}
    marks = {
        "equity": ('class="js-line"', 4),
        "over-parameters": ('class="hm"', 1),
        "history": ('class="point"', 1_600),
        "parallel": ('class="axis"', 3),
        "workers": ('class="point"', 25),
    }
    for key in keys:
        chart = chart_of(dom, key)
        assert 'class="main-svg"' in chart
        mark, least = marks[key]
        assert chart.count(mark) >= least, (key, mark, chart.count(mark))
    assert 'class="gl-canvas' in chart_of(dom, "parallel")
    text = read_page(dom).text
    assert "could not draw" not in text
    assert "WebGL is not supported" not in text
    titles = re.findall('data-title="([^"]+)"', chart_of(dom, "history"))
    assert "Pan" in titles
    assert not [title for title in titles if "Share" in title]  # plotly's own button that uploads the data


@pytest.mark.slow
def test_the_charts_of_the_verdict_are_drawn(tmp_path, look):
    prices = rbt.load_bundle("sample")
    results = rbt.Tuner(
        rbt.objectives.sma_cross(),
        param_space={"fast": rbt.randint(2, 20), "slow": rbt.randint(21, 60)},
        bundle=rbt.Bundle.from_arrays({"close": prices.close[:700, [0, 3]]}, prices.index[:700], ["A", "B"]),
        tune_config=rbt.TuneConfig(search_alg="random", num_samples=60, seed=3),
        run_config=rbt.RunConfig(name="s", storage_path=tmp_path, backend="local", num_workers=1, verbose=0),
    ).fit()
    dom, console = look(results.report(tmp_path / "report.html"), "--dump-dom")
    assert console == []
    found = drawn(dom)
    assert {key: found.get(key) for key in ("out-of-sample", "logits", "plateau")} == {
        "out-of-sample": "out-of-sample:0",
        "logits": "logits:0",
        "plateau": "over-parameters:0",
    }
    assert chart_of(dom, "logits").count('class="point"') == 14
    assert chart_of(dom, "out-of-sample").count('class="js-line"') == 4  # two, and their marks in the legend
    assert 'class="shapelayer"' in chart_of(dom, "plateau")


@pytest.mark.slow  # tests/reporting/test_html.py parses the same page
def test_nothing_hostile_runs(tmp_path, rng, write_mixed, look, read_page):
    results = write_mixed(tmp_path / "study", rng, hostile=True)
    path = results.report(tmp_path / "report.html")
    dom, console = look(path, "--dump-dom")
    assert console == []
    title = re.search("<title>(.*?)</title>", dom).group(1)
    assert title.startswith("mixed &lt;/script&gt;")
    assert "<img" not in dom
    assert set(drawn(dom)) == {"over-parameters", "history", "parallel", "workers"}
    assert "&lt;script&gt;" in chart_of(dom, "over-parameters")
    assert "&lt;" not in read_page(dom).text  # as text a reader sees nothing is escaped twice


@pytest.mark.slow
def test_nothing_hostile_runs_in_names_of_metrics_bundles_objectives_and_symbols(
    tmp_path, rng, write_study, look, hostile_text
):
    points = rng.random((40, 1))
    metrics = {hostile_text: points[:, 0], f"other {hostile_text}": points[:, 0]}
    bundle = BundleId(hostile_text, "a" * 64, 100, 80)
    results = write_study(
        tmp_path / "study", {"x": rbt.uniform(0, 1)}, points, metrics, metric=hostile_text, bundle=bundle,
        objective=Address(f"{hostile_text}:f", {hostile_text: hostile_text}, "", "f" * 64), runs=((hostile_text, 1.0),),
    )  # fmt: skip
    days = np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D")
    prices = rbt.Bundle.from_arrays(
        {"close": np.ones((3, 1)), hostile_text: np.ones((3, 1))},
        days, [hostile_text], name=hostile_text, metadata={"source": hostile_text, "licence": hostile_text},
    )  # fmt: skip
    shown = tmp_path / "bundle.html"
    shown.write_text(f"<html><head><title>bundle</title></head><body>{prices._repr_html_()}</body></html>")
    for path in (results.report(tmp_path / "report.html"), shown):
        dom, console = look(path, "--dump-dom")
        assert console == []
        assert "<title>owned</title>" not in dom
        assert "<img" not in dom
        assert "&lt;img src=x" in dom


@pytest.mark.slow  # each page starts a browser
def test_a_reload_draws_the_selected_pair(tmp_path, rng, write_mixed, look):
    path = write_mixed(tmp_path / "study", rng).report(tmp_path / "report.html")
    page = path.read_text("utf-8")
    # As a browser does on a reload, which keeps what was picked.
    path.write_text(page.replace('<option value="over-parameters:9">', '<option value="over-parameters:9" selected>'))
    dom, console = look(path, "--dump-dom")
    assert console == []
    assert drawn(dom)["over-parameters"] == "over-parameters:9"


@pytest.mark.slow
def test_a_script_that_finds_its_way_in_is_refused_and_this_test_would_see_it(tmp_path, rng, write_crossings, look):
    path = write_crossings(tmp_path, rng).report(tmp_path / "report.html")
    page = path.read_text("utf-8")
    path.write_text(page.replace("</main>", "<script>document.title = 'owned'</script></main>", 1))
    dom, console = look(path, "--dump-dom")
    assert "<title>crossings</title>" in dom
    assert any("Content Security Policy" in line for line in console)


@pytest.mark.slow
@pytest.mark.parametrize("n", [0, 1])
def test_a_page_with_hardly_a_chart(tmp_path, rng, write_study, look, n):
    points = rng.random((n, 1))
    results = write_study(tmp_path / "study", {"x": rbt.uniform(0, 1)}, points, {"sharpe": points[:, 0]})
    dom, console = look(results.report(tmp_path / "report.html"), "--dump-dom")
    assert console == []
    assert set(drawn(dom)) == ({"history", "workers"} if n else set())
