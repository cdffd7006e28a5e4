"""Saves the results of a script as its entry in a JSON file, from which `benchmarks/page.py` writes the page."""

import json
from pathlib import Path

from benchmarks.machine import machine

PACKAGES = ("rbt-ray", "ray", "numpy", "numba", "scipy", "hpbandster")


def add_data_option(parser):
    parser.add_argument("--data", type=Path, help="a JSON to keep what was measured in; by default it is only printed")


def record(path, name, entry):
    """Replaces the entry of the script; does nothing if `path` is None."""
    if path is None:
        return
    data = json.loads(path.read_text()) if path.exists() else {}
    data[name] = {**entry, "machine": machine(PACKAGES)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(data.items())), indent=1) + "\n")
