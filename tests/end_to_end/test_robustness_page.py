"""The example on the page about robustness runs, and the page names every check."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rbt_ray.analysis.robustness import Robustness

PAGE = (Path(__file__).parents[2] / "docs" / "robustness.md").read_text()


@pytest.mark.slow
def test_the_example_runs_and_prints_every_check(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "example.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True
    )
    assert done.stdout.startswith("Robustness of trial ")
    assert all(f"  {name}: " in done.stdout for name in Robustness.CHECKS)
    assert "left out" not in done.stdout


def test_the_page_has_a_row_for_every_check():
    assert re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE) == list(Robustness.CHECKS)
