"""Every objective of the catalogue costs its own trial at most: the study ends, and its table is the same on each backend."""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from tests.pool.hostile import CATALOGUE, N

DEFAULT = [
    *("pickle.loads = None", "builtins.len = None", "os.environ = None", "modules_cleared", "streams_gone", "traced"),
    *("standard_descriptors_closed", "pipes: junk", "pipes: two gigabytes declared", "pipes_replaced", "alarm_left"),
    *("fork_returns_twice", "fork_raises_twice", "fork_by_libc", "fork_outlives_its_parent", "limit_of_descriptors"),
    *("raises_mute", "returns_a_bomb", "returns a surrogate"),
]


class Driver:
    """A process that runs the studies, as no other process of this machine is marked."""

    def __init__(self, backend, folder, names):
        self.names, self.mark = names, uuid.uuid4().hex
        self.errors = (folder / "stderr").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.pool.hostile", backend, folder, *names],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, "RBT_HOSTILE_TEST": self.mark},
            cwd=Path(__file__).parents[2],
            text=True,
        )

    def end(self):
        """What it printed, by the name of the study."""
        output, _ = self.process.communicate()
        self.errors.seek(0)
        errors = self.errors.read().decode(errors="replace")
        self.errors.close()
        assert self.process.returncode == 0, errors[-3000:]
        assert "Traceback" not in errors, errors[-3000:]
        found = [json.loads(line) for line in output.splitlines() if line.startswith('{"name"')]
        assert [one["name"] for one in found] == self.names
        deadline = time.monotonic() + 120
        while left := self.processes():
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
        return {one["name"]: one for one in found}

    def processes(self):
        """Those that it started, and they: what is executed has the mark, and what is forked keeps it."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process):
        try:
            return process.environ().get("RBT_HOSTILE_TEST") == self.mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def check(study):
    """The other trials have the values of their parameters, and the marked one has the expected status."""
    name, marked = study["name"], study["marked"]
    wanted = CATALOGUE[name][1]
    for n, (status, score, *_, error) in enumerate(study["rows"]):
        if n != marked:
            assert (status, score) == ("COMPLETED", n), (name, n, error)
        elif wanted is not None:
            assert status == wanted, (name, error)
    sums = [row[2] for n, row in enumerate(study["rows"]) if n != marked]
    expected = [sum(x**0.5 for x in range(n)) for n in range(N) if n != marked]
    assert sums == pytest.approx(expected), name


@pytest.mark.slow
def test_a_hostile_trial_costs_no_other_and_nothing_of_it_is_left(tmp_path):
    for study in Driver("local", tmp_path, DEFAULT).end().values():
        check(study)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_hostile_objective_gives_the_same_table_on_both_backends(tmp_path):
    for backend in ("local", "ray"):
        (tmp_path / backend).mkdir()
    here = [name for name, (_, _, settings) in CATALOGUE.items()]
    on_ray = [name for name in here if not CATALOGUE[name][2].get("local_only")]
    drivers = [Driver("local", tmp_path / "local", here), Driver("ray", tmp_path / "ray", on_ray)]
    local, ray = (driver.end() for driver in drivers)
    for study in [*local.values(), *ray.values()]:
        check(study)
    assert {name: study["hash"] for name, study in ray.items()} == {name: local[name]["hash"] for name in on_ray}
