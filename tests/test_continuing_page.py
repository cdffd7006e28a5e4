"""The examples of docs/continuing.md, and of the drawdown limit in docs/search.md, run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import rbt_ray as rbt

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "continuing.md"


@pytest.mark.slow
def test_the_example_runs(tmp_path):
    code, settings = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(settings, {"rbt": rbt})
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert re.fullmatch(r"150 \{'fast': \d+, 'slow': \d+\}\n", done.stdout), done.stderr


@pytest.mark.slow
def test_the_example_of_a_drawdown_limit_runs(tmp_path):
    [code] = re.findall(r"<!-- the drawdown limit.*?```python\n(.*?)```", (DOCS / "search.md").read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "True True\n", done.stderr
