"""The long version: `python -m tests.chaos run ...` saves its counts in a file; `write` writes a page from such files."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.chaos.hosts import HostChaos
from tests.chaos.page import page
from tests.chaos.run import Chaos, Tally
from tests.chaos.study import ChaosError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="studies with faults, each with a seed of its own")
    run.add_argument("--backend", choices=["local", "ray", "hosts"], default="local")
    run.add_argument("--seed", type=int, default=int(time.time()), help="of the first study; default: the time")
    run.add_argument("--studies", type=int, default=1)
    run.add_argument("--counts", type=Path, help="where the counts go")
    write = commands.add_parser("write", help="the page of what was counted")
    write.add_argument("out", type=Path)
    write.add_argument("counts", type=Path, nargs="+")
    write.add_argument("--fuzz", type=Path, required=True, help="what `tests.fuzz.run --counts` wrote")
    given = parser.parse_args()
    if given.command == "write":
        tallies = [Tally(**json.loads(path.read_text())) for path in given.counts]
        given.out.write_text(page(tallies, json.loads(given.fuzz.read_text())))
        return 0
    return disturb(given.backend, range(given.seed, given.seed + given.studies), given.counts)


def disturb(backend: str, seeds: range, counts: Path | None) -> int:
    """Runs a study for each seed and prints the outcomes; returns 1 if a check failed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rbt-chaos-", ignore_cleanup_errors=True)))
        chaos: Chaos | HostChaos
        if backend == "hosts":
            chaos = stack.enter_context(HostChaos(folder))
            study = chaos.study
        else:
            chaos = Chaos(folder, root=os.geteuid() == 0)
            study = partial(chaos.study, backend=backend)
        for seed in seeds:
            began = time.monotonic()
            try:
                study(seed)
                ended = "passed"
            except (ChaosError, OSError, ValueError, subprocess.SubprocessError) as error:
                chaos.tally.failed.append(f"{backend} {seed}: {error}")
                ended = f"failed: {error}"
            n_faults = chaos.tally.faults.total()
            print(f"{backend} {seed}: {time.monotonic() - began:.1f} s, {n_faults} faults so far; {ended}", flush=True)
            if counts is not None:
                counts.write_text(json.dumps(vars(chaos.tally)))
    return 1 if chaos.tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
