"""The examples and the notebooks of the documentation run, each in an empty home."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
GALLERY = (DOCS / "examples" / "README.md").read_text()
SCRIPTS = re.findall(r"\]\((\w+)\.py\)", GALLERY.partition("## From another tool")[0])
NOTEBOOKS = sorted(path.stem for path in (DOCS / "notebooks").glob("*.ipynb"))
_RUN_CELLS = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        shell.run_cell("".join(cell["source"]), store_history=True).raise_error()
"""


def run(words, folder):
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_gallery_names_every_script_and_notebook():
    files = {path.stem for path in (DOCS / "examples").glob("*.py") if not path.stem.startswith(("from_", "dask_"))}
    assert set(SCRIPTS) == files
    assert len(files) >= 10
    assert set(re.findall(r"notebooks/(\w+)\.ipynb\)", GALLERY)) == set(NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_and_one_that_names_what_it_makes_runs_twice(name, tmp_path):
    script = DOCS / "examples" / f"{name}.py"
    assert run([script], tmp_path)
    if re.search(r"\bname=|\bingest\(", script.read_text()):
        assert run([script], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_twice(name, tmp_path):
    for _ in range(2):
        shown = run(["-c", _RUN_CELLS, DOCS / "notebooks" / f"{name}.ipynb"], tmp_path)
    assert re.search(r"HOLDS UP|NOT SHOWN|LUCK EXPLAINS IT|NOT SHOWN", shown)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_holds_no_output(name):
    cells = json.loads((DOCS / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
