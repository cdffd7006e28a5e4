"""What the documentation says, runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


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
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


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
def test_the_example_of_rules_runs(tmp_path):
    (tmp_path / "example.py").write_text(
        re.findall(r"```python\n(.*?)```", (DOCS / "rules.md").read_text(), re.DOTALL)[0]
    )
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True
    )
    assert done.stdout.startswith("0\nBacktest(3270 bars"), done.stdout
