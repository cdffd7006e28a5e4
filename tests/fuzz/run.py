"""Runs the parsers on generated input in this process, with little memory: `python -m tests.fuzz.run`.

A case ends in a result or in an error of ours that is a sentence. Anything else is a find: another exception, one that
takes more than a few seconds of this processor's time, or memory that the limit does not give. Hypothesis makes the
find smaller and shows it.
"""

import argparse
import importlib
import json
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
from hypothesis import HealthCheck, given, seed, settings

PARSERS = ("study_files", "bundle_files", "spaces", "definitions", "events", "journal_files", "command_lines")
_CASES_A_ROUND = 500
_SECONDS_A_CASE = 20
_HEADROOM = 3 * 2**30


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parsers", nargs="*", default=PARSERS)
    parser.add_argument("--cases", type=int, default=500, help="of each parser")
    parser.add_argument("--seconds", type=float, default=600, help="at most, for all parsers together")
    parser.add_argument("--seed", type=int, default=0, help="other cases for another number")
    parser.add_argument(
        "--counts",
        type=lambda path: Path(path).absolute(),
        help="where the number of cases of each parser goes, as JSON",
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGVTALRM, _too_long)
    each = arguments.seconds / len(arguments.parsers)
    done = {}
    for name in arguments.parsers:
        counts, took = fuzz(importlib.import_module(f"tests.fuzz.{name}"), arguments.cases, each, arguments.seed)
        done[name] = sum(counts.values())
        if arguments.counts is not None:
            arguments.counts.write_text(json.dumps(done))
        print(f"{name}: {sum(counts.values()):,} cases, {counts[True]:,} refused, {took:.0f} s", flush=True)
    print(f"{sum(done.values()):,} cases, nothing found", flush=True)


def fuzz(module, n_cases, seconds, first_seed):
    """Counts of refused cases and of others, and the seconds they took."""
    limit_memory()
    counts, start = Counter(), time.monotonic()
    for number in range(first_seed, first_seed + -(-n_cases // _CASES_A_ROUND)):
        left = n_cases - sum(counts.values())

        @seed(number)
        @settings(
            max_examples=min(left, _CASES_A_ROUND),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(module.CASES)
        def a_round(case):
            signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS_A_CASE)
            try:
                counts[module.check(case)] += 1
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)

        a_round()
        if time.monotonic() - start > seconds:
            break
    return counts, time.monotonic() - start


def limit_memory(headroom=_HEADROOM):
    """Limits this process's memory to little more than it uses now."""
    mapped = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (mapped + headroom, resource.RLIM_INFINITY))


def _too_long(*_):
    raise TimeoutError(f"a case took more than {_SECONDS_A_CASE} s of processor time")


if __name__ == "__main__":
    sys.exit(main())
