"""Runs the code of a page of docs/ from top to bottom, in the working directory: `python tests/run_page.py PAGE.md`.

Blocks of Python share their names. A block that begins with a comment of a file's name, such as `# mine.py`, is written to that
file. Blocks of `sh` run in bash. A block of `text` after one of them is what it prints. A comment ``<!-- before ... -->`` has Python
that runs too, and that readers do not see: it makes what the blocks of a page take as given.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

_BLOCK = re.compile(r"(?:```(\w*)|<!-- before)\n(.*?)(?:```|-->)", re.DOTALL)
_FILE = re.compile(r"# ([\w-]+\.(?:py|toml))\n")


def run(page):
    """Runs all blocks; raises what a block raises, or an AssertionError for another output."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # for rbt-ray
    names = {"__name__": "__main__"}
    printed = None
    for block in _BLOCK.finditer(page.read_text()):
        kind, code = block.groups()
        if (file := _FILE.match(code)) is not None:
            Path(file[1]).write_text(code)
        elif kind == "python" or block[0].startswith("<!--"):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(code, page.name, "exec"), names)
            printed = out.getvalue()
        elif kind == "sh":
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], capture_output=True, text=True)
            assert done.returncode == 0, f"{code}{done.stdout}{done.stderr}"
            printed = done.stdout
        elif kind == "text":
            assert printed == code, f"{page.name} shows\n{code}and prints\n{printed}"


if __name__ == "__main__":
    run(Path(sys.argv[1]))
