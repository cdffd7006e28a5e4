"""Time of a proposal after many results: one `tell` and one `ask` of a study's searcher, including refits.

    python benchmarks/large_search.py [--results 1000 10000 100000] [--open 1 2000] [--repeats 7] [--quick]
        [--write docs/scaling.md]

Six numbers, all trials at full fidelity. Results arrive in order, each with one new proposal. Milliseconds of processor time:
the median over repeats of 640 proposals, with a 95 % bootstrap interval. "Not bounded" is the searcher of a definition that
records no bound, up to 10,000 results. `--write PAGE` replaces the table between the page's lines `<!-- large_search.py -->` and
`<!-- end of large_search.py -->`.
"""

import argparse
import time
from collections import deque
from pathlib import Path

import numpy as np

import rbt_ray as rbt
from benchmarks.page_text import replace_part, table
from rbt_ray.bench import median_with_interval
from rbt_ray.search.bohb import BOHB
from rbt_ray.search.encoding import MOST_RESULTS
from rbt_ray.search.registry import AUTO
from rbt_ray.study.space import Space

SPACE = Space.of({f"x{k}": rbt.uniform(0.0, 1.0) for k in range(6)})
SEARCHES = {"auto": AUTO, "bohb": BOHB()}
PROPOSALS = 640
MOST_UNBOUNDED = 10_000


def loss(point):
    return float(((point - 0.3) ** 2).sum())


def milliseconds(search, bound, n_results, n_open, repeats):
    """Returns the times per proposal, by repeat."""
    sampler = SEARCHES[search].sampler(SPACE, 1, most_results=bound)
    for point in np.random.default_rng(0).random((n_results, SPACE.n_params)):
        sampler.learn(point, 1.0, loss(point))
    pending = deque(sampler.sample() for _ in range(n_open))
    found = []
    for _ in range(repeats):
        start = time.thread_time()
        for _ in range(PROPOSALS):
            point = pending.popleft()
            sampler.learn(point, 1.0, loss(point))
            pending.append(sampler.sample())
        found.append(1e3 * (time.thread_time() - start) / PROPOSALS)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--open", type=int, nargs="+", default=[1, 2_000], help="how many trials are open")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="1,000 results, one repeat")
    parser.add_argument("--write", type=Path, help="a page whose table to replace")
    options = parser.parse_args()
    if options.quick:
        options.results, options.repeats = [1_000], 1
    rows = []
    for search in SEARCHES:
        for n_open in options.open:
            for n_results in options.results:
                cells = []
                for bound in (MOST_RESULTS, None):
                    if bound is None and n_results > MOST_UNBOUNDED:
                        cells.append("")
                        continue
                    found = milliseconds(search, bound, n_results, n_open, options.repeats)
                    cells.append("{:.3f} [{:.3f}, {:.3f}]".format(*median_with_interval(found)))
                rows.append((f"`{search}`", f"{n_results:,}", f"{n_open:,}", *cells))
                print(*rows[-1], sep=" | ", flush=True)
    if options.write is not None:
        head = ("searcher", "results", "open trials", "ms per proposal", "not bounded")
        replace_part(options.write, "large_search.py", table(head, rows))


if __name__ == "__main__":
    main()
