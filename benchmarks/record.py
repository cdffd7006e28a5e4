"""Where a script keeps what it measured: an entry of its own in one JSON, of which `benchmarks/page.py` makes the page."""

import json
from pathlib import Path

from benchmarks.machine import machine

PACKAGES = ("rbt-ray", "ray", "numpy", "numba", "scipy", "hpbandster")


def add_data_option(parser):
    parser.add_argument("--data", type=Path, help="a JSON to keep what was measured in; by default it is only printed")


def record(path, name, entry):
    """Replaces the script's entry and leaves the others as they are; nothing where `path` is None."""
    if path is None:
        return
    data = json.loads(path.read_text()) if path.exists() else {}
    data[name] = {**entry, "machine": machine(PACKAGES)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(data.items())), indent=1) + "\n")
