"""Random sequences of operations on the registry of bundles, with killed processes and planted files."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import rbt_ray as rbt
from rbt_ray.errors import BundleError, BundleNotFoundError
from tests.kills import ended, forked, kill_at

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")

NAMES = st.sampled_from(["a", "b"])
DAYS = np.datetime64("2020-01-01") + np.arange(20)
BUNDLES = [rbt.Bundle.from_arrays({"close": np.full((20, 2), 1.0 + n)}, DAYS, ["A", "B"]) for n in range(3)]
WHICH = st.integers(0, len(BUNDLES) - 1)
KINDS = st.sampled_from(["link", "broken link", "link to a folder", "fifo", "folder", "sparse"])
CALL = st.integers(1, 35)
"""Up to more calls than an ingest or removal makes: some children end before they are killed."""


class Registry(RuleBasedStateMachine):
    """Checks that ingested bundles load until they are removed, that no unfinished file stays, and that no other file changes."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.home_before = os.environ.get("RBT_RAY_HOME")
        os.environ["RBT_RAY_HOME"] = str(self.folder / "home")
        self.bundles = self.folder / "home" / "bundles"
        self.outside = self.folder / "outside"
        self.outside.mkdir()
        self.canary = self.outside / "canary"
        self.canary.write_text("precious")
        (self.outside / ".writing-mine").write_text("precious")
        self.current = {}  # which bundle each name has
        self.ingested = {}  # which versions each name has
        self.damaged = set()  # names of bundles with a planted file
        self.is_quiet = True

    def teardown(self):
        os.environ.pop("RBT_RAY_HOME")
        if self.home_before is not None:
            os.environ["RBT_RAY_HOME"] = self.home_before
        shutil.rmtree(self.folder)

    def _has(self, name, which):
        self.current[name] = which
        self.ingested.setdefault(name, set()).add(which)
        self.damaged.discard(name)

    def _lacks(self, name):
        self.current.pop(name, None)
        self.ingested.pop(name, None)
        self.damaged.discard(name)

    def _look(self, name, allowed):
        """Records which of the allowed bundles a name has now; None stands for no bundle."""
        try:
            found = rbt.load_bundle(name)
        except BundleNotFoundError:
            assert None in allowed
            self._lacks(name)
        else:
            self._has(name, next(n for n in allowed if n is not None and found == BUNDLES[n]))

    @rule(name=NAMES, which=WHICH)
    def ingest(self, name, which):
        try:
            assert rbt.ingest(name, BUNDLES[which]) == BUNDLES[which]
        except BundleError:
            assert name in self.damaged, "a folder in place of a file cannot be replaced"
            if name in {info.name for info in rbt.list_bundles()}:
                rbt.remove_bundle(name)
            else:
                shutil.rmtree(self.bundles / name)
            self._lacks(name)
        else:
            self._has(name, which)
        self.is_quiet = True

    @rule(name=NAMES)
    def remove(self, name):
        try:
            rbt.remove_bundle(name)
        except BundleNotFoundError:
            assert name not in self.current or name in self.damaged
            return
        self._lacks(name)
        self.is_quiet = True

    @rule(name=NAMES, which=WHICH, call=CALL)
    @precondition(lambda self: not self.damaged)
    def ingest_and_be_killed(self, name, which, call):
        def act():
            kill_at(call)
            rbt.ingest(name, BUNDLES[which])

        done = ended(forked(act))
        assert done in (0, -signal.SIGKILL)
        self.is_quiet = self.is_quiet and done == 0
        self._look(name, [which] if done == 0 else [which, self.current.get(name)])

    @rule(name=NAMES, call=CALL)
    @precondition(lambda self: not self.damaged)
    def remove_and_be_killed(self, name, call):
        def act():
            kill_at(call)
            with contextlib.suppress(BundleNotFoundError):
                rbt.remove_bundle(name)

        done = ended(forked(act))
        assert done in (0, -signal.SIGKILL)
        self.is_quiet = self.is_quiet and done == 0
        self._look(name, [None] if done == 0 else [None, self.current.get(name)])

    @rule(name=NAMES, whichs=st.lists(WHICH, min_size=1, max_size=2), removes=st.booleans())
    @precondition(lambda self: not self.damaged)
    def at_once(self, name, whichs, removes):
        def remove():
            with contextlib.suppress(BundleNotFoundError):
                rbt.remove_bundle(name)

        children = [forked(lambda which=which: rbt.ingest(name, BUNDLES[which])) for which in whichs]
        children += [forked(remove)] if removes else []
        assert [ended(child) for child in children] == [0] * len(children)
        self.is_quiet = True
        if removes:
            self.ingested.pop(name, None)  # the order of the others is unknown
        self._look(name, [*whichs, *([None] if removes else [])])
        self.ingest(name, whichs[0])  # the next operations begin with a known state

    @rule(kind=KINDS, what=st.sampled_from(["current", "version"]), which=WHICH, mends=st.booleans())
    @precondition(lambda self: set(self.current) - self.damaged)
    def plant_in_place_of_a_file(self, kind, what, which, mends):
        name = min(set(self.current) - self.damaged)
        path = (
            self.bundles / name / ("current" if what == "current" else f"{BUNDLES[self.current[name]].version}.arrow")
        )
        path.unlink()
        self._plant(kind, path)
        self.damaged.add(name)
        if what == "version":
            self.ingested[name].discard(self.current[name])
        with pytest.raises(BundleError):
            rbt.load_bundle(name)
        if (
            kind == "folder" and what == "version"
        ):  # no file replaces a folder, so that version could not be written again
            path.rmdir()
            self.ingest(name, self.current[name])
        elif mends:
            self.ingest(name, which)

    @rule(kind=KINDS, place=st.sampled_from([".removed-x", "a/.writing-x", "b/.writing-x", "c"]))
    def plant_beside(self, kind, place):
        path = self.bundles / place
        if path.parent.is_dir() and not os.path.lexists(path) and not (place[1:2] == "/" and kind == "folder"):
            self._plant(kind, path)
            self.is_quiet = False

    @rule(kind=KINDS)
    def plant_in_place_of_the_lock(self, kind):
        lock = self.folder / "home" / "bundles.lock"
        lock.unlink(missing_ok=True)
        lock.parent.mkdir(exist_ok=True)
        self._plant(kind, lock)
        if kind not in ("fifo", "sparse"):
            with pytest.raises(BundleError, match="cannot be locked"):
                rbt.ingest("a", BUNDLES[0])
        lock.rmdir() if kind == "folder" else lock.unlink()

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

    @invariant()
    def no_other_file_changed(self):
        assert sorted(path.name for path in self.outside.iterdir()) == [".writing-mine", "canary"]
        assert {path.read_text() for path in self.outside.iterdir()} == {"precious"}

    @invariant()
    def what_was_ingested_loads(self):
        listed = {info.name: info for info in rbt.list_bundles() if not info.embedded}
        for name, which in self.current.items():
            if name not in self.damaged:
                assert rbt.load_bundle(name) == BUNDLES[which]
                assert (listed[name].version, listed[name].error) == (BUNDLES[which].version, None)
                for old in self.ingested[name]:
                    assert rbt.load_bundle(name, BUNDLES[old].version) == BUNDLES[old]
        assert set(listed) <= set(self.current)

    @invariant()
    def nothing_unfinished_stays(self):
        if self.is_quiet and self.bundles.is_dir():
            assert [path.name for path in self.bundles.rglob(".*") if not path.parent.is_symlink()] == []


def explore(examples, steps):
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=[Phase.generate],  # shrinking a failure would take minutes of real processes
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Registry, settings=chosen)


def test_the_registry_in_any_order():
    explore(7, 12)


@pytest.mark.slow
def test_the_registry_in_any_order_for_long():
    explore(40, 30)
