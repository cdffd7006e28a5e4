"""Runs docs/examples/from_rustybt.py as a reader does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.rustybt.objectives import serial_best

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "from_rustybt.py"


@pytest.mark.slow
def test_both_shapes_find_what_a_loop_by_hand_finds(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLE, tmp_path], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    params, sharpe = serial_best("sample", {"fast": range(5, 51, 5), "slow": range(60, 241, 20)})
    first, second, third = done.stdout.splitlines()
    for line in (first, second):
        assert line.endswith(f"{params} {sharpe:.6f}")
    assert third == "100 trials, and report.html"
    assert (tmp_path / "report.html").exists()
