"""Measures the four optimizations of the old evaluation and writes a page with its data for each.

    python -m benchmarks.decisions [NAME ...] [--quick | --judge] [--write docs/decisions]

Names: shared_bundle, persistent_pool, bohb, ray, sequential; none: all of them, in about an hour. `--quick` looks only
whether both sides of every kind give the same, and writes nothing. `--judge` measures nothing: it judges the runs of the
written data by today's rules, and writes the pages again. Several hosts, of `ray`, are made of namespaces: root on
Linux with iproute2.
"""

import argparse
import importlib
import json
from pathlib import Path

from benchmarks.decisions.page import judged_again, write
from rbt_ray.bench.comparison import REJECTED

MODULES = {
    "shared_bundle": "shared_bundle",
    "persistent_pool": "persistent_pool",
    "bohb": "bohb",
    "ray": "ray_hosts",
    "sequential": "in_sequence",
}
MAY_DIFFER = "bohb on "  # a step of the sequence


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *MODULES], default=[])
    parser.add_argument("--quick", action="store_true", help="correctness only; nothing is written")
    parser.add_argument("--judge", action="store_true", help="judge the written runs again; nothing is measured")
    parser.add_argument("--write", type=Path, default=Path(__file__).resolve().parents[2] / "docs" / "decisions")
    options = parser.parse_args()
    for name in options.names or MODULES:
        if options.judge:
            path = options.write / f"{name}.json"
            write(judged_again(json.loads(path.read_text())), path)
            continue
        page = importlib.import_module(f"benchmarks.decisions.{MODULES[name]}").decide(options.quick)
        for one in page.cases:
            print(f"{page.file}: {one.name}: {one.reason}", flush=True)
            # Two short batches are too few for a search to be held to.
            if (
                options.quick
                and one.verdict == REJECTED
                and one.comparison is None
                and not one.name.startswith(MAY_DIFFER)
            ):
                raise SystemExit(f"{page.file}: {one.name}: both sides are to give the same.")
        if not options.quick:
            page.write(options.write)


if __name__ == "__main__":
    main()
