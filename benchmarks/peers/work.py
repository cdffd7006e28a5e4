"""The work of all peers, and the output of their scripts.

A peer's script has `ready(workers)`, which makes what its users keep and returns `run(seconds, n)` and `close()`. `run`
goes from the description of the grid to the best score with all scores in memory, and returns the best and a function
that gives the scores by config. Only the standard library and psutil are used here: peers run in environments of
their own.
"""

import argparse
import hashlib
import json
import struct
import sys
import time
from functools import partial

LOADED = time.monotonic()


def burn(seconds):
    """Spends processor time, so that an evaluation takes as much on a busy machine."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def answer(number):
    """Returns the score of config `number`: known in advance, and different for each."""
    return (number * 2654435761 % 2**32) / 2**32


def evaluate(seconds, params):
    """The objective: the same function of the same dict for all peers."""
    burn(seconds)
    return answer(params["n"])


def objective(seconds):
    return partial(evaluate, seconds)


def grid(n):
    return [{"n": number} for number in range(n)]


def chunk(n, workers, chunks_a_worker=8):
    """Configs a message, where a peer leaves that to its user: few messages, and enough for an even end."""
    return max(1, -(-n // (workers * chunks_a_worker)))


def pieces(configs, size):
    return [configs[at : at + size] for at in range(0, len(configs), size)]


def evaluate_all(seconds, configs):
    return [evaluate(seconds, params) for params in configs]


def digest(scores):
    """Of the table of results: every config's number and score, in order."""
    state = hashlib.sha256()
    for number in sorted(scores):
        state.update(struct.pack("<qd", number, scores[number]))
    return state.hexdigest()


def _busy(process):
    """Seconds of processor time: of the whole machine, and of this process with all that it started."""
    import psutil

    machine = psutil.cpu_times()
    own = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            own += sum(one.cpu_times()[:4])  # its own, and of children that have ended
        except psutil.Error:
            continue
    return sum(machine) - machine.idle - getattr(machine, "iowait", 0.0) - getattr(machine, "guest", 0.0), own


def serve(ready):
    """Runs a peer: once cold, counted from when its process was launched, then warm; prints one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1e-3, help="an evaluation")
    parser.add_argument("--n", type=int, default=100, help="evaluations")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--warm", type=int, default=1, help="runs after the first")
    parser.add_argument("--launched", type=float, default=LOADED, help="when the process was, by time.monotonic")
    options = parser.parse_args()
    import psutil

    process = psutil.Process()
    run, close = ready(options.workers)
    best, scores = run(options.seconds, options.n)
    cold = time.monotonic() - options.launched
    warm, foreign = [], []
    for _ in range(options.warm):
        before = _busy(process)
        began = time.perf_counter()
        best, scores = run(options.seconds, options.n)
        warm.append(time.perf_counter() - began)
        after = _busy(process)
        others = (after[0] - before[0]) - (after[1] - before[1])
        foreign.append(max(0.0, others) / (warm[-1] * psutil.cpu_count()))
    table = scores()
    close()
    right = all(score == answer(number) for number, score in table.items()) and best == max(table.values())
    found = {
        "cold_s": cold,
        "warm_s": warm,
        "foreign": foreign,
        "n": len(table),
        "right": right,
        "digest": digest(table),
    }
    print(f"\n{json.dumps(found)}")
    sys.stdout.flush()


def numbered(scores):
    """Scores in the order of the grid, by config."""
    return lambda: dict(enumerate(scores))
