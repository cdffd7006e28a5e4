"""Ray against local processes: on one machine, and on one to three hosts that are namespaces of it."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import rbt_ray as rbt
from benchmarks.decisions.page import Case, Decision, case
from benchmarks.throughput import burn
from rbt_ray.bench import Sample, Thresholds
from rbt_ray.bench.measurement import ProcessTree
from rbt_ray.errors import BenchError
from tests.cluster.hosts import Lan, what_is_missing
from tests.cluster.ray_cluster import RayCluster

ABOUT = r"""\ Without: rbt_ray's local workers. With: Ray actors; everything else is the same. An evaluation takes a fixed
processor time. The time is that of a study on running workers, from `fit()` to results on disk. On one machine, both sides have
two workers; docs/benchmarks.md has the cost of starting Ray. On several hosts (*: two or more), each host is a namespace with
its own network, pinned to one core. Without is the local backend with one worker on one host. With is a Ray cluster of that
host, which also runs the head and the driver, and the other hosts, with a worker on each. Memory is measured after a study: the
driver and its workers, and with Ray everything on the host that uses most, since each host has its own. Ray's log monitor is
off on these hosts, as on the hosts that cluster/ starts. An earlier run with the log monitor had gains of 48 to 50 % on two
hosts but added 2.0 to 2.1 % of 23.5 GiB, and was thus REJECTED. The log monitor was removed because of this result."""
ONE_MACHINE = [(100e-6, 10_000), (1e-3, 1_000), (10e-3, 100), (100e-3, 10), (1.0, 2), (3.0, 2)]
HOSTS = {1: [(0.3, 6)], 2: [(0.1, 16), (0.3, 6), (1.0, 2), (3.0, 2)], 3: [(0.1, 24), (0.3, 9), (1.0, 3), (3.0, 3)]}
"""Evaluations by the number of hosts: their seconds, and how many of them a study has."""
WORDS = {
    1: "one host of one core against the same",
    2: "two hosts of one core against one",
    3: "three hosts of one core against one",
}
ROOT = Path(__file__).resolve().parents[2]


def burner(seconds):
    def objective(params, data):
        burn(seconds)
        return params["n"] * 0.5

    return objective


def study(seconds, n, place, **where):
    """One study, timed."""
    began = time.perf_counter()
    results = rbt.Tuner(
        burner(seconds),
        param_space={"n": rbt.randint(0, n)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
        run_config=rbt.RunConfig(f"s{time.monotonic_ns()}", place, verbose=0, recheck=0, **where),
    ).fit()
    return Sample(time.perf_counter() - began, result={"digest": results.table_hash()})


def duration_text(seconds):
    return f"{seconds * 1e6:g} us" if seconds < 1e-3 else f"{seconds * 1e3:g} ms" if seconds < 1 else f"{seconds:g} s"


def on_one_machine(page, quick):
    with tempfile.TemporaryDirectory() as place:
        for seconds, n in ONE_MACHINE[1:2] if quick else ONE_MACHINE:

            def side(backend, seconds=seconds, n=n):
                return study(seconds, n, place, backend=backend, num_workers=2)

            name = f"one machine, {n:,} evaluations of {duration_text(seconds)}"
            page.cases.append(
                case(
                    name,
                    lambda side=side: side("local"),
                    lambda side=side: side("ray"),
                    meant=False,
                    runs=2 if quick else 10,
                )
            )
    rbt.shutdown()


class OnHosts:
    """A driver on the first of two hosts, which runs studies as it is told, by lines of JSON.

    Args:
        cluster: whose head runs it.
        place: for its studies.
    """

    def __init__(self, cluster, place):
        self._process = cluster.head.start(
            [sys.executable, "-m", __name__, place],
            env={**cluster.env, "RBT_RAY_HOME": f"{place}/home"}, cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(place / "driver.log").open("w"),
        )  # fmt: skip
        self._log = place / "driver.log"
        self._first_processes = [host.first_pid for host in (cluster.head, *cluster.workers)]

    def study(self, seconds, n, n_hosts, backend):
        print(json.dumps([seconds, n, n_hosts if backend == "ray" else 0]), file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):  # Ray prints to stdout too
                answer = json.loads(line)
                peak = self._memory(backend)
                return Sample(answer["seconds"], peak_pss=peak, result={"digest": answer["digest"]})
        raise BenchError(f"the driver on the host has ended: {self._log.read_text()[-2000:]}")

    def _memory(self, backend):
        """PSS after a study: of the driver and its workers, or of the fuller host with all of Ray's processes there."""
        driver = pss(self._process.pid)
        if backend == "local":
            return driver
        first, *others = map(pss, self._first_processes)
        return max([driver + first, *others])

    def end(self):
        self._process.stdin.close()
        self._process.wait(60)


def pss(pid):
    """Bytes of a process tree now."""
    tree = ProcessTree(pid)
    tree.look()
    return tree.peak_pss


def serve(place):
    """Runs the studies that lines of stdin ask for."""
    pin(0)
    for line in sys.stdin:
        seconds, n, n_hosts = json.loads(line)
        where = {"backend": "ray", "address": "auto", "num_workers": n_hosts} if n_hosts else {"num_workers": 1}
        sample = study(seconds, n, place, **{"backend": "local", **where})
        print(json.dumps({"seconds": sample.wall_s, "digest": sample.digest}), flush=True)


def pin(core):
    os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[core]])


def on_hosts(page, quick):
    if missing := what_is_missing():
        page.cases.append(Case(f"{WORDS[2]}: not tried", True, False, missing, tried=False))
        return
    with tempfile.TemporaryDirectory() as folder, Lan(Path(folder) / "lan", {}) as lan:
        cores = sorted(os.sched_getaffinity(0))
        for n_hosts, evaluations in HOSTS.items():
            if n_hosts > len(cores):
                reason = f"this machine has {len(cores)} cores, and each host needs its own core"
                page.cases.append(Case(f"{WORDS[n_hosts]}: not tried", True, False, reason, tried=False))
                continue
            os.sched_setaffinity(0, cores[n_hosts - 1 : n_hosts])  # what is started from here on stays there
            if n_hosts == 1:
                cluster = RayCluster(lan)
            else:
                cluster.join()
            os.sched_setaffinity(0, cores)
            driver = OnHosts(cluster, Path(folder))
            for seconds, n in evaluations[:1] if quick else evaluations:
                sides = [partial(driver.study, seconds, n, n_hosts, backend) for backend in ("local", "ray")]
                name = f"{WORDS[n_hosts]}, {n} evaluations of {duration_text(seconds)}"
                page.cases.append(case(name, *sides, meant=n_hosts > 1, runs=2 if quick else 10))
            driver.end()


def decide(quick):
    page = Decision("ray", "Ray", ABOUT)
    on_one_machine(page, quick)
    on_hosts(page, quick)
    added = [one.comparison.memory_added for one in page.cases if one.comparison and one.comparison.memory_added]
    if added:
        page.notes.append(about_memory(max(added)))
    return page


def about_memory(added):
    """From which size of a host on its memory would not speak against it."""
    least = added / Thresholds.default().memory / 2**30
    return f"Ray's own processes on a host take at most {added / 1e6:,.0f} MB, which is below 2 % on hosts with {least:.0f} GiB or more."


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    serve(parser.parse_args().place)
