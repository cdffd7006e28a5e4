"""A mirror and the journals of two machines, with any order of operations, killed drivers and planted files."""

import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import closing
from multiprocessing import Pipe
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)  # fmt: skip

from rbt_ray.errors import RbtError
from rbt_ray.private_files import DRAFT_PREFIX
from rbt_ray.store import reconcile as writer_module
from rbt_ray.store.journal import Asked, Journal
from rbt_ray.store.location import StudyLocation
from rbt_ray.store.mirror import Mirror
from rbt_ray.store.reconcile import MirrorWriter
from tests.kills import ended, forked, kill_at

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")

MACHINES = st.sampled_from(["one", "two"])
COUNTS = st.integers(1, 8)
KINDS = st.sampled_from(["link", "broken link", "link to a folder", "fifo", "folder", "sparse"])
PLANTED_AT = st.sampled_from(["owner.json", "first segment", "last segment", "another segment"])
SEGMENT_BYTES = 150


def drive(pipe, uri, home):
    """Runs a driver of the study in its own process: executes commands and sends their results."""
    os.environ["RBT_RAY_HOME"] = home
    writer_module.SEGMENT_BYTES = SEGMENT_BYTES
    location = StudyLocation(uri)
    with location.locked():
        if location.holder() is None:
            Journal.create(location.folder, {"name": "study"}).close()
        else:
            location.reconcile()
        writer = MirrorWriter(location._mirror, location._lease, location.folder, location._position)
        writer.push()
        pipe.send("started")
        with closing(Journal(location.folder, write=True)) as journal:
            for word, argument in iter(pipe.recv, ("stop", None)):
                try:
                    if word == "append":
                        for number in argument:
                            journal.append(Asked(number, 1, "x"))
                    else:
                        if word == "push and be killed":
                            kill_at(argument)
                        writer.push()
                    pipe.send("done")
                except RbtError as error:
                    pipe.send(f"{type(error).__name__}: {error}")
    pipe.send("stopped")


class Driver:
    """The other end of a driver."""

    def __init__(self, uri, home):
        self._pipe, theirs = Pipe()

        def act():
            try:
                drive(theirs, uri, str(home))
            except RbtError as error:
                theirs.send(f"{type(error).__name__}: {error}")

        self.pid = forked(act)
        theirs.close()
        self.said = self.hear()

    def hear(self):
        assert self._pipe.poll(60), "the driver hangs"
        return self._pipe.recv()

    def ask(self, word, argument=None):
        self._pipe.send((word, argument))
        try:
            return self.hear()
        except EOFError:
            return "killed"

    def end(self, kill=False):
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        self._pipe.close()
        return ended(self.pid)


def is_driven(machine):
    return machine.driver is not None


class Mirrored(RuleBasedStateMachine):
    """Checks: one driver at a time, a mirror that has the driver's events, and no other file changed."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.home_before = os.environ.get("RBT_RAY_HOME")
        self.remote = self.folder / "remote" / "study"
        self.uri = f"file://{self.remote}"
        self.outside = self.folder / "outside"
        self.outside.mkdir()
        self.canary = self.outside / "canary"
        self.canary.write_text("precious")
        self.driver, self.runs_on = None, None
        self.local, self.there = {"one": None, "two": None}, None  # the events of each copy; None: it has no study
        self.numbers = itertools.count()
        self.n_killed = 0

    def teardown(self):
        if self.driver is not None:
            self.driver.end(kill=True)
        self._restore_home()
        shutil.rmtree(self.folder)

    def _restore_home(self):
        os.environ.pop("RBT_RAY_HOME", None)
        if self.home_before is not None:
            os.environ["RBT_RAY_HOME"] = self.home_before

    def _read(self):
        mirror = Mirror(self.uri)
        rows = [row for first in mirror.segment_starts() for row in mirror.read(first).rows]
        return [json.loads(header)["first"] for _, header, _, _ in rows]

    def _events(self, machine):
        os.environ["RBT_RAY_HOME"] = str(self.folder / machine)
        try:
            with closing(Journal(StudyLocation(self.uri).folder)) as journal:
                return [event.first for event in journal.read()]
        finally:
            self._restore_home()

    def _reconciled(self, machine):
        """Returns the events of both copies after a driver starts on this machine: of the longer one, else of the mirror."""
        here, there = self.local[machine], self.there
        if here is None or there is None:
            return there if here is None else here
        return here if len(here) > len(there) else there

    @rule(machine=MACHINES)
    def start(self, machine):
        driver = Driver(self.uri, self.folder / machine)
        if self.driver is not None:
            assert driver.said.startswith("StudyLockedError"), driver.said
            assert f"process {self.driver.pid} on " in driver.said
            driver.end()
            return
        assert driver.said == "started", driver.said
        self.driver, self.runs_on = driver, machine
        self.local[machine] = self.there = self._reconciled(machine) or []
        assert self._events(machine) == self.there

    @initialize(machine=MACHINES, n=COUNTS)
    def begin(self, machine, n):
        self.start(machine)
        self.append(n)
        self.push()

    @rule(n=COUNTS)
    @precondition(is_driven)
    def append(self, n):
        new = list(itertools.islice(self.numbers, n))
        assert self.driver.ask("append", new) == "done"
        self.local[self.runs_on] = self.local[self.runs_on] + new

    @rule()
    @precondition(is_driven)
    def push(self):
        assert self.driver.ask("push") == "done"
        self.there = self.local[self.runs_on]

    @rule(call=st.integers(1, 25), n=COUNTS)
    @precondition(is_driven)
    def push_and_be_killed(self, call, n):
        self.append(n)
        said = self.driver.ask("push and be killed", call)
        if said == "done":  # it was not killed yet, and is now
            self.there = self.local[self.runs_on]
        self.n_killed += 1
        assert self.driver.end(kill=said == "done") == -signal.SIGKILL
        self.driver = None
        found = self._read()
        before = self.there
        assert found[: len(before)] == before
        assert found == self.local[self.runs_on][: len(found)]
        self.there = found

    @rule(kill=st.booleans())
    @precondition(is_driven)
    def stop(self, kill):
        if not kill:
            assert self.driver.ask("stop") == "stopped"
        assert self.driver.end(kill) == (-signal.SIGKILL if kill else 0)
        self.driver = None

    @rule(machine=MACHINES, n=COUNTS)
    @precondition(lambda self: self.driver is None)
    def append_alone(self, machine, n):
        """A driver cannot reach the mirror, so that the copies differ."""
        if self.local[machine] is None:
            return
        os.environ["RBT_RAY_HOME"] = str(self.folder / machine)
        with closing(Journal(StudyLocation(self.uri).folder, write=True)) as journal:
            new = list(itertools.islice(self.numbers, n))
            for number in new:
                journal.append(Asked(number, 1, "x"))
        self._restore_home()
        self.local[machine] = self.local[machine] + new

    @rule(machine=MACHINES, alone=COUNTS, mirrored=COUNTS)
    @precondition(lambda self: self.driver is None)
    def part(self, machine, alone, mirrored):
        """One machine continues without the mirror, the other with it; then the first one reaches it again."""
        self.append_alone(machine, alone)
        self.start("two" if machine == "one" else "one")
        self.append(mirrored)
        self.push()
        self.stop(kill=False)
        self.start(machine)

    @rule(is_fresh=st.booleans())
    def another_host_takes_over(self, is_fresh):
        """A driver on another host: only its lease file shows when it was last active."""
        owner = {"host": "far-away", "machine": "m", "pid": 7, "token": "t", "stale_after_s": 35.0}
        owner["time"] = time.time() - (0 if is_fresh else 36)
        kept = (self.remote / "owner.json").read_bytes() if self.driver is not None else None
        (self.remote / "owner.json").write_text(json.dumps(owner))
        before = self._read()
        if self.driver is not None:
            assert self.driver.ask("push").startswith("StudyLockedError"), "two write"
            (self.remote / "owner.json").write_bytes(kept)
        elif is_fresh:
            refused = Driver(self.uri, self.folder / "one")
            assert refused.said.startswith("StudyLockedError"), refused.said
            assert "process 7 on far-away" in refused.said
            refused.end()
            (self.remote / "owner.json").unlink()
        assert self._read() == before

    @rule(kind=KINDS, where=PLANTED_AT)
    def plant_in_place_of_an_object(self, kind, where):
        """Starts a driver, or pushes, with a planted lease; then removes the lease."""
        segment_starts = sorted(path.name for path in self.remote.glob("events-*.arrow"))
        names = {
            "first segment": segment_starts[0],
            "last segment": segment_starts[-1],
            "another segment": "events-999999999999.arrow",
        }
        path = self.remote / names.get(where, where)
        kept = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        self._plant(kind, path)
        if self.driver is not None and where == "owner.json":
            said = self.driver.ask("push")
            assert said.startswith(("SettingError", "JournalError")), said
        elif self.driver is None:
            driver = Driver(self.uri, self.folder / "three")
            if where != "first segment" or len(segment_starts) == 1:
                assert driver.said.startswith(("SettingError", "JournalError")), driver.said
            if driver.said == "started":
                driver.ask("stop")
            driver.end()
            shutil.rmtree(self.folder / "three", ignore_errors=True)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
        if kept is not None:
            path.write_bytes(kept)

    @rule(kind=KINDS, name=st.sampled_from(["owner.json", "events-000000000001.arrow"]))
    def plant_beside(self, kind, name):
        """Plants files with the names of drafts, or with similar names."""
        for path in (self.remote / f".{name}.new", self.remote / f"{name}.tmp"):
            if not os.path.lexists(path):
                self._plant(kind, path)

    def _plant(self, kind, path):
        if kind == "link":
            path.symlink_to(self.canary)
        elif kind == "broken link":
            path.symlink_to(self.outside / "not-there")
        elif kind == "link to a folder":
            path.symlink_to(self.outside)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            with path.open("wb") as file:
                file.truncate(2**40)

    @rule()
    def look_from_a_third_machine(self):
        os.environ["RBT_RAY_HOME"] = str(self.folder / "three")
        StudyLocation(self.uri).fetch()
        assert self._events("three") == self.there
        shutil.rmtree(self.folder / "three")

    @invariant()
    def the_mirror_is_what_was_pushed(self):
        if self.there is not None:
            assert self._read() == self.there

    @invariant()
    def no_other_file_changed(self):
        assert [(path.name, path.read_text()) for path in self.outside.iterdir()] == [("canary", "precious")]

    @invariant()
    def drafts_are_of_killed_drivers_and_the_next_one_sweeps_them(self):
        drafts = list(self.folder.rglob(f"{DRAFT_PREFIX}*"))
        assert len(drafts) <= self.n_killed
        if drafts and self.driver is None:
            for draft in drafts:
                os.utime(draft, (time.time() - 3700,) * 2)
            for machine in ("one", "two"):
                self.start(machine)
                self.stop(kill=False)
            assert not list(self.folder.rglob(f"{DRAFT_PREFIX}*"))


def explore(examples, steps):
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=[Phase.generate],  # to shrink a failure would take minutes of real processes
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Mirrored, settings=chosen)


def test_a_mirror_in_any_order():
    explore(4, 15)


@pytest.mark.slow
def test_a_mirror_in_any_order_for_long():
    explore(25, 25)
