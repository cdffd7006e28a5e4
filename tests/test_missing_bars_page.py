"""The page on missing bars: its example prints what it shows, and its picture is what the engine computes now."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "missing_bars.md").read_text()


def test_the_example_prints_what_the_page_shows(tmp_path):
    code, output = re.findall(r"```(?:python)?\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == output


@pytest.fixture(scope="module")
def drawing():
    spec = importlib.util.spec_from_file_location("missing_bars", DOCS / "images" / "missing_bars.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_up_to_date(drawing):
    assert (DOCS / "images" / "missing_bars.svg").read_text() == drawing.picture()


def test_the_picture_shows_what_the_page_says(drawing):
    """By hand: bought at 103 on the third bar, carried over bars 5 and 6, sold at 113 after the last bar."""
    _, run = drawing.run()
    before_costs = np.array(
        [0, 0, 0, 102 / 103, 104 / 102, 1, 1, 110 / 104, 111 / 110, 109 / 111, 112 / 109, 113 / 112]
    )
    np.testing.assert_allclose(run.returns[3:12], before_costs[3:] - 1, rtol=1e-12, atol=1e-15)
    assert run.returns[[0, 1, 13]].tolist() == [0, 0, 0]
    assert run.returns[2] == pytest.approx(1 / 1.005 - 1)
    assert run.returns[12] == pytest.approx(-0.005)
    assert np.flatnonzero(run.orders).tolist() == [2, 12]


def test_the_readme_links_to_it():
    assert "](docs/missing_bars.md)" in (DOCS.parent / "README.md").read_text()
