"""The example of docs/continuing.md runs."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "continuing.md"


def test_the_example_runs(tmp_path):
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert re.fullmatch(r"150 \{'fast': \d+, 'slow': \d+\}\n", done.stdout), done.stderr
