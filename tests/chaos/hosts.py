"""Studies on several hosts, which are killed, lose power or are cut off at random moments drawn from a seed.

The hosts are Linux namespaces from `tests.cluster`: a head, which runs the driver, and two workers. Lost hosts are replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from rbt_ray.store.journal import Finished, Journal
from tests.chaos.run import Tally
from tests.chaos.study import ChaosError, wait_for
from tests.cluster.hosts import Host, Lan
from tests.cluster.ray_cluster import RayCluster
from tests.cluster.studies import Study, local_table_hash

N_WORKERS = 2
_NOTICED_S = 30
_PACE_S = 1.5
"""Duration of a trial: a study outlasts its faults, each of which may take Ray half a minute to notice."""


def kill_host(cluster: RayCluster, host: Host, rng: np.random.Generator) -> None:
    """Kill -9 of all processes of a host."""
    host.crash()


def end_power(cluster: RayCluster, host: Host, rng: np.random.Generator) -> None:
    """A host loses power and ends without a message."""
    host.lose_power()


def cut_link(cluster: RayCluster, host: Host, rng: np.random.Generator) -> None:
    """A host's link is cut and restored within 2 s."""
    host.cut()
    time.sleep(rng.uniform(0.2, 2.0))
    host.heal()


def lose_link(cluster: RayCluster, host: Host, rng: np.random.Generator) -> None:
    """A host's link is cut until Ray declares the host dead, and then restored."""
    host.cut()
    wait_for(lambda: not cluster.nodes()[host.name]["Alive"], f"{host} is taken for lost", _NOTICED_S)
    host.heal()
    host.crash()  # its Ray has ended for good


FAULTS: dict[Callable[[RayCluster, Host, np.random.Generator], None], float] = {
    kill_host: 2,
    end_power: 1,
    cut_link: 2,
    lose_link: 1,
}


class HostChaos:
    """Runs studies on one cluster; a context manager.

    Args:
        folder: for all files; shared by all hosts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lan = Lan(folder / "lan", {})
        self._cluster = RayCluster(self._lan)
        (folder / "local").mkdir()
        self._expected = local_table_hash(folder / "local")
        self.tally = Tally()

    def __enter__(self) -> HostChaos:
        return self

    def __exit__(self, *exception: object) -> None:
        self._lan.__exit__(*exception)

    def study(self, seed: int, n_faults: int | None = None) -> None:
        """One study with its faults.

        Args:
            seed: determines everything random.
            n_faults: how many; None: 2 to 5.

        Raises:
            ChaosError: a check failed; the message says which, and how to reproduce it.
        """
        began, rng = time.monotonic(), np.random.default_rng(seed)
        weights = np.array(list(FAULTS.values()))
        drawn = rng.choice(len(FAULTS), n_faults or int(rng.integers(2, 6)), p=weights / weights.sum())
        folder = self._folder / f"hosts-{seed}"
        folder.mkdir()
        study, done = Study(folder, _PACE_S), list[str]()
        try:
            self._see_to_hosts()
            driver = study.run(self._cluster.head, self._cluster.env)
            wait_for(lambda: study.seen(*self._cluster.workers) or not driver.running, "all hosts are at work")
            for at in drawn:
                time.sleep(rng.uniform(0.02, 1.5))
                if not driver.running:
                    break
                fault = list(FAULTS)[at]
                done.append(fault.__name__)
                fault(self._cluster, self._cluster.workers[rng.integers(N_WORKERS)], rng)
                self.tally.faults[f"hosts {fault.__name__}"] += 1
                self._see_to_hosts()
            study.hurry()
            self._check(study, driver.result()["table_hash"])
        except AssertionError as error:
            again = f"python -m tests.chaos run --seed {seed} --backend hosts"
            raise ChaosError(f"{error}\nfaults {done}; run it again by `{again}`") from error
        self.tally.studies["hosts random"] += 1
        self.tally.drivers += 1
        self.tally.wall_s += time.monotonic() - began

    def _see_to_hosts(self) -> None:
        self._cluster.join(N_WORKERS - len(self._cluster.workers))

    def _check(self, study: Study, table_hash: str) -> None:
        if table_hash != self._expected:
            raise ChaosError(f"the table: found {table_hash}, expected {self._expected}")
        with closing(Journal(study.path)) as journal:
            trials = [n for event in journal.read() if isinstance(event, Finished) for n in event.trials.tolist()]
        if sorted(trials) != list(range(200)):
            raise ChaosError(f"the trials, each once: found {sorted(trials)}")
        for host in (self._cluster.head, *self._cluster.workers):
            wait_for(lambda host=host: "ray::RayActor" not in _processes(host), f"no worker is left on {host}", 60)
        left = {path.name for path in study.path.iterdir()}
        if left != {"journal.sqlite", "lock", "report.html"}:
            raise ChaosError(f"the study's files: found {left}")


def _processes(host: Host) -> str:
    return host.run(["ps", "-eo", "args"]).stdout
