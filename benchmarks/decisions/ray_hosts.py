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
from benchmarks.decisions.page import NOT_TRIED, Case, Decision, case
from benchmarks.throughput import burn
from rbt_ray.bench import Sample, Thresholds, fresh
from rbt_ray.bench.measurement import ProcessTree
from rbt_ray.errors import BenchError
from tests.cluster.hosts import Lan, what_is_missing
from tests.cluster.ray_cluster import RayCluster

ABOUT = """\
Without: rbt_ray's local workers. With: Ray actors; everything else is the same. An evaluation takes a fixed processor time. The
time is that of a study on running workers, from `fit()` to results on disk, without Ray's own start. In the regimes "with the
start of the workers", each run is a new process and is timed from before the study until its results, so that Ray starts in it.
On one machine, both sides have two workers. On several hosts (*: two or more), each host is a namespace with its own network,
pinned to one core. Without is the local backend with one worker on one host. With is a Ray cluster of that host, which also runs
the head and the driver, and the other hosts, with a worker on each. Memory is measured after a study on running workers, of the
driver with all its processes; on hosts, with Ray everything on the host that uses most, since each host has its own. Ray's log
monitor is off on these hosts, as on the hosts that cluster/ starts. An earlier run with the log monitor had gains of 48 to 50 %
on two hosts but added 2.0 to 2.1 % of 23.5 GiB, and was thus REJECTED. The log monitor was removed because of this result."""
ONE_MACHINE = [(100e-6, 10_000), (1e-3, 1_000), (10e-3, 100), (100e-3, 10), (1.0, 2), (3.0, 2)]
WITH_START = [(10e-3, 100), (1.0, 2)]
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
    with tempfile.TemporaryDirectory() as folder:
        place, local = Path(folder), partial(subprocess.Popen, text=True)
        drivers = {backend: Driver(local, place, backend, cwd=ROOT) for backend in ("local", "ray")}
        for seconds, n in ONE_MACHINE[1:2] if quick else ONE_MACHINE:

            def running(backend, seconds=seconds, n=n):
                return drivers[backend].study(seconds, n, drivers[backend].memory, num_workers=2, backend=backend)

            name = f"one machine, {n:,} evaluations of {duration_text(seconds)}"
            page.cases.append(case(name, partial(running, "local"), partial(running, "ray"), meant=False, quick=quick))
        for driver in drivers.values():
            driver.end()
        for seconds, n in WITH_START[:1] if quick else WITH_START:

            def starting(backend, seconds=seconds, n=n):
                more = ["--once", backend, str(seconds), str(n)]
                return fresh([sys.executable, "-m", __name__, folder, *more], cwd=ROOT)

            name = f"one machine, {n:,} evaluations of {duration_text(seconds)}, {STARTS}"
            page.cases.append(
                case(name, partial(starting, "local"), partial(starting, "ray"), meant=False, quick=quick)
            )


STARTS = "with the start of the workers"


class Driver:
    """A process that runs studies as it is told, by lines of JSON.

    Args:
        start: starts it, as `subprocess.Popen` does, with text.
        place: a folder for its studies.
        name: of its log.
        more: further arguments of its command.
        settings: further settings of `start`.
    """

    def __init__(self, start, place, name, *more, **settings):
        self._log = place / f"{name}.log"
        self._process = start(
            [sys.executable, "-m", __name__, str(place), *more],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log.open("w"), **settings,
        )  # fmt: skip

    def study(self, seconds, n, memory, **where):
        """One study; `memory` gives bytes after it."""
        print(json.dumps([seconds, n, where]), file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):  # Ray prints to stdout too
                answer = json.loads(line)
                return Sample(answer["seconds"], peak_pss=memory(), result={"digest": answer["digest"]})
        raise BenchError(f"the driver has ended: {self._log.read_text()[-2000:]}")

    def memory(self):
        """PSS of it and its processes now, in bytes."""
        return pss(self._process.pid)

    def end(self):
        self._process.stdin.close()
        self._process.wait(60)


class OnHosts:
    """A driver on the first of two hosts.

    Args:
        cluster: whose head runs it.
        place: for its studies.
    """

    def __init__(self, cluster, place):
        env = {**cluster.env, "RBT_RAY_HOME": f"{place}/home"}
        self._driver = Driver(cluster.head.start, place, "driver", "--pin", env=env, cwd=ROOT)
        self._first_processes = [host.first_pid for host in (cluster.head, *cluster.workers)]
        self.end = self._driver.end

    def study(self, seconds, n, n_hosts, backend):
        more = {"address": "auto", "num_workers": n_hosts} if backend == "ray" else {"num_workers": 1}
        return self._driver.study(seconds, n, partial(self._memory, backend), backend=backend, **more)

    def _memory(self, backend):
        """PSS after a study: of the driver and its workers, or of the fuller host with all of Ray's processes there."""
        driver = self._driver.memory()
        if backend == "local":
            return driver
        first, *others = map(pss, self._first_processes)
        return max([driver + first, *others])


def pss(pid):
    """Bytes of a process tree now."""
    tree = ProcessTree(pid)
    tree.look()
    return tree.peak_pss


def serve(place):
    """Runs the studies that lines of stdin ask for."""
    for line in sys.stdin:
        seconds, n, where = json.loads(line)
        sample = study(seconds, n, place, **where)
        print(json.dumps({"seconds": sample.wall_s, "digest": sample.digest}), flush=True)


def pin(core):
    os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[core]])


def on_hosts(page, quick):
    if missing := what_is_missing():
        page.cases.append(Case(f"{WORDS[2]}: not tried", True, NOT_TRIED, missing))
        return
    with tempfile.TemporaryDirectory() as folder, Lan(Path(folder) / "lan", {}) as lan:
        cores = sorted(os.sched_getaffinity(0))
        for n_hosts, evaluations in HOSTS.items():
            if n_hosts > len(cores):
                reason = f"this machine has {len(cores)} cores, and each host needs its own core"
                page.cases.append(Case(f"{WORDS[n_hosts]}: not tried", True, NOT_TRIED, reason))
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
                page.cases.append(case(name, *sides, meant=n_hosts > 1, quick=quick))
            driver.end()


def decide(quick):
    page = Decision("ray", "Ray", ABOUT)
    on_one_machine(page, quick)
    on_hosts(page, quick)
    on_several = [one for one in page.cases if one.meant and one.comparison]
    if on_several:
        page.notes.append(about_memory(max(one.comparison.memory_added for one in on_several)))
    start_s = max(
        one.comparison.candidate_s - one.comparison.baseline_s for one in page.cases if one.name.endswith(STARTS)
    )
    page.notes.append(about_start(start_s, max((one.comparison.gain for one in on_several), default=0.0)))
    return page


def about_start(start_s, gain):
    """From which length of a study on Ray's start is worth its time, where it starts for this study alone."""
    words = f"Ray's own start makes a study on one machine up to {start_s:.1f} s longer."
    if gain <= 0:
        return f"{words} Nothing measured here saves that time again."
    return (
        f"{words} Where Ray starts for one study alone, two hosts save time in studies that take longer than {start_s / gain:.0f} s "
        f"on one host; this is computed from both figures. On a running cluster, the regimes above apply."
    )


def about_memory(added):
    """From which size of a host on its memory would not speak against it."""
    least = added / Thresholds.default().memory / 2**30
    return f"Ray's own processes on a host take at most {added / 1e6:,.0f} MB, which is below 2 % on hosts with {least:.0f} GiB or more."


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    parser.add_argument("--pin", action="store_true", help="to one core")
    parser.add_argument(
        "--once", nargs=3, metavar=("BACKEND", "SECONDS", "N"), help="one study, its workers' start included"
    )
    options = parser.parse_args()
    if options.pin:
        pin(0)
    if options.once:
        backend, seconds, n = options.once
        sample = study(float(seconds), int(n), options.place, backend=backend, num_workers=2)
        print(json.dumps({"seconds": sample.wall_s, "digest": sample.digest}))
    else:
        serve(options.place)


if __name__ == "__main__":
    main()
