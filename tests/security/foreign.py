"""Opens another person's files and records by Python's audit hooks what runs: `python -m tests.security.foreign FOLDER`.

The folder holds studies `ours` and `theirs`, and price files of the same names. Ours are opened first, so that all
modules are loaded and everything is compiled; then what is run for theirs is written to ``run.json``.
"""

import json
import os
import sys
from pathlib import Path

from rbt_ray.cli import bundles, studies

_TOLD = ("exec", "compile", "import", "marshal.loads", "pickle.find_class", "code.__new__", "ctypes.dlopen")
_STARTED = ("subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "socket.connect")


def open_all(whose):
    os.environ["RBT_RAY_HOME"] = f"home-{whose}"
    assert studies.show(whose, as_json=False) == 0  # Typer compiles its annotations at every call
    assert studies.show(whose, as_json=True) == 0
    assert studies.report(whose, Path(f"{whose}.html")) == 0
    for ending in ("arrow", "parquet", "feather", "csv"):
        assert (
            bundles.ingest(
                ending, Path(f"{whose}.{ending}"), fix=(), periods_per_year=None, symbol=None, listed_until=()
            )
            == 0
        )
        assert bundles.show(ending, as_json=False) == 0
    assert bundles.list_all(as_json=False) == 0


def main(folder):
    os.chdir(folder)
    open_all("ours")
    seen = []
    watching = True

    def watch(event, arguments):
        if watching and (event in _TOLD or event.startswith(_STARTED)):
            seen.append([event, repr(arguments)[:200]])

    sys.addaudithook(watch)
    open_all("theirs")
    watching = False
    Path("run.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1])
