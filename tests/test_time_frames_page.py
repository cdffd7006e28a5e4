"""The page on time frames: its examples print what it shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "time_frames.md").read_text()


@pytest.mark.slow
def test_the_examples_print_what_the_page_shows(tmp_path):
    blocks = re.findall(r"```(python)?\n(.*?)```", PAGE, re.DOTALL)
    code = "\n".join(text for language, text in blocks if language)
    first, _, second = (text for language, text in blocks if not language)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == first + second
