"""What the documentation says, runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.images import timing
from docs.site import reference

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
RUN_BY_SLOW_TESTS = (
    "start",
    "strategy",
    "searching",
    "verdict",
    "validation",
    "measuring",
    "reports",
    "running_on_ray",
    "moving/backtesting",
    "moving/optuna",
    "moving/pandas",
)


@pytest.mark.parametrize(("page", "prints"), [("searcher", "{'x': 30, 'y': -12}\n"), ("adapter", "6 0 True\n")])
def test_the_examples_of_extending_run(page, prints, tmp_path):
    text = (DOCS / "extending" / f"{page}.md").read_text()
    (tmp_path / "example.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)))
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == prints


def test_files_have_the_names_that_the_tables_of_extending_give_them():
    """In a cell, quoted words after "`path`:" are names in that file; NAME stands for a name of yours."""
    cells = re.findall(r"`([\w/.]+\.py)`: ([^|;]*)", (DOCS / "extending" / "README.md").read_text())
    assert len(cells) > 20
    for path, text in cells:
        names = [name for name in re.findall(r"`([^`/]+)`", text) if "NAME" not in path + name]
        missing = [name for name in names if not re.search(rf"\b{re.escape(name)}\b", (ROOT / path).read_text())]
        assert not missing, f"{path} has no {missing}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    generated = {DOCS / one.path for one in reference.pages()}  # on the site
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        path = page.parent / target
        assert target.startswith("http") or path.exists() or path in generated, target


def test_the_picture_of_timing_is_up_to_date():
    assert (DOCS / "images" / "timing.svg").read_text() == timing.picture()


@pytest.mark.parametrize(
    "page",
    [
        "data",
        "monitoring",
        *(pytest.param(page, marks=pytest.mark.slow) for page in RUN_BY_SLOW_TESTS),
    ],
)
def test_the_blocks_of_a_page_run_from_top_to_bottom_and_print_what_it_shows(page, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "run_page.py", DOCS / f"{page}.md"],
        cwd=tmp_path, env={**os.environ, "RBT_RAY_HOME": str(tmp_path / "home")}, capture_output=True, text=True, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*.md")], ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page):
    """Paths such as `rbt_ray/search/bohb.py`, or `search/bohb.py` in the package; NAME stands for a name of yours."""
    places = (ROOT, ROOT / "rbt_ray", page.parent)
    for path in re.findall(r"`([a-z_.]+/[\w/.-]+\.(?:py|md|toml|yaml|sh))`", page.read_text()):
        assert "NAME" in path or any((place / path).exists() for place in places), path


def test_the_example_of_exits_runs(capsys):
    exec(re.findall(r"```python\n(.*?)```", (DOCS / "exits.md").read_text(), re.DOTALL)[0], {})
    shown, ambiguous = capsys.readouterr().out.splitlines()
    assert shown.startswith("Backtest(")
    assert f", ambiguous bars: {ambiguous})" in shown
    assert int(ambiguous) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("page", "block"), [("rules", 0), ("exits", 1)])
def test_the_example_of_compiled_objectives_runs(page, block, tmp_path):
    (tmp_path / "example.py").write_text(
        re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)[block]
    )
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True
    )
    assert done.stdout.startswith("0\nBacktest(3270 bars"), done.stdout


@pytest.mark.slow
def test_the_study_file_of_exits_runs(tmp_path):
    (tmp_path / "stops.toml").write_text(
        re.findall(r"```toml\n(.*?)```", (DOCS / "exits.md").read_text(), re.DOTALL)[0]
    )
    done = subprocess.run(
        [sys.executable, "-m", "rbt_ray.cli", "run", "stops.toml", "--samples", "8", "--json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"stop_loss"' in done.stdout
