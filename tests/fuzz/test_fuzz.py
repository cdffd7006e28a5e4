"""Some generated cases for each parser, and thousands in the slow tier; `make fuzz` runs a hundred thousand and more."""

import subprocess
import sys

import pytest

from tests.fuzz.run import PARSERS


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
@pytest.mark.parametrize("cases", [3, pytest.param(250, marks=pytest.mark.slow)])  # of each parser
def test_no_input_ends_in_a_traceback_in_endless_work_or_in_all_of_the_memory(cases):
    command = [sys.executable, "-m", "tests.fuzz.run", "--cases", str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    assert f"{cases * len(PARSERS):,} cases, nothing found" in done.stdout
