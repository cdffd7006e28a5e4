"""A follower reads each event of a journal once, whatever the driver does in between."""

import json
import subprocess
import sys
from contextlib import closing

import pytest

from rbt_ray.errors import SettingError, StudyNotFoundError
from rbt_ray.store import driver as drivers
from rbt_ray.store.driver import Driver, driver_of
from rbt_ray.store.follower import JournalFollower
from rbt_ray.store.journal import Asked, Journal
from rbt_ray.store.lease import StudyLock
from tests.live.studies import wait_until

WRITER = """
import sys
from pathlib import Path
from rbt_ray.store.journal import Asked, Journal
from rbt_ray.store.lease import StudyLock

folder = Path(sys.argv[1])
lock = StudyLock(folder)
is_new = not (folder / "journal.sqlite").exists()
journal = Journal.create(folder, {"name": sys.argv[2]}) if is_new else Journal(folder, write=True)
print("ready", flush=True)
for line in sys.stdin:
    first, n, length = map(int, line.split())
    for number in range(first, first + n):
        journal.append(Asked(number, 1, "d" * length))
    print("written", flush=True)
journal.close()
"""


class Writer:
    """A process that appends to a journal as a driver does."""

    def __init__(self, folder, name="one"):
        words = [sys.executable, "-c", WRITER, str(folder), name]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def append(self, first, n, length=8):
        self.process.stdin.write(f"{first} {n} {length}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "written\n"

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def read_until(follower, last):
    """Reads until the event numbered `last` was read; returns the numbers read, and the definitions."""
    numbers, definitions = [], []

    def is_there():
        news = follower.read()
        if news.definition is not None:
            definitions.append(news.definition["name"])
            numbers.clear()
        numbers.extend(event.first for event in news.events)
        return numbers[-1:] == [last]

    wait_until(is_there)
    return numbers, definitions


@pytest.mark.slow
def test_events_of_another_process_are_read_once(tmp_path):
    with pytest.raises(StudyNotFoundError):
        JournalFollower(tmp_path).read()
    with closing(Writer(tmp_path)) as writer:
        follower = JournalFollower(tmp_path)
        writer.append(0, 3)
        assert read_until(follower, 2) == ([0, 1, 2], ["one"])
        before = {path.name for path in tmp_path.iterdir()}
        writer.append(3, 2_000, 4_000)  # 8 MB: the driver moves its log into the file
        assert read_until(follower, 2_002) == (list(range(3, 2_003)), [])
        assert {path.name for path in tmp_path.iterdir()} - before <= {"journal.sqlite-flushed"}  # the driver's
        writer.append(2_003, 1)
    assert read_until(follower, 2_003) == ([2_003], [])
    assert follower.read().events == []
    with closing(Writer(tmp_path)) as writer:  # the driver was restarted
        writer.append(2_004, 2)
        assert read_until(follower, 2_005) == ([2_004, 2_005], [])


def test_another_journal_in_the_folder_is_read_from_its_beginning(tmp_path):
    follower = JournalFollower(tmp_path)
    for name, first in (("one", 0), ("two", 100), ("two", 200)):
        with closing(Journal.create(tmp_path, {"name": name})) as journal:
            for number in range(first, first + 5):
                journal.append(Asked(number, 1, "d"))
        assert read_until(follower, first + 4) == (list(range(first, first + 5)), [name])
        (tmp_path / "journal.sqlite").unlink()


def test_a_driver_is_known_by_its_lock_and_not_by_what_a_file_says(tmp_path):
    assert driver_of(tmp_path) is None
    with closing(Writer(tmp_path)) as writer:
        found = driver_of(tmp_path)
        assert (found.pid, found.is_here) == (writer.process.pid, True)
        assert driver_of(tmp_path) == found  # asking does not release or take it
        written = json.loads((tmp_path / "lock").read_text())
        (tmp_path / "lock").write_text(json.dumps({**written, "pid": 1}))
        assert driver_of(tmp_path) == Driver(1, written["host"], is_here=False)
        with pytest.raises(SettingError, match="not of this machine"):
            drivers.stop(tmp_path, driver_of(tmp_path))
        (tmp_path / "lock").write_text(json.dumps({**written, "host": "elsewhere"}))
        assert not driver_of(tmp_path).is_here
        (tmp_path / "lock").write_text("[" * 3_000)
        assert driver_of(tmp_path) == Driver(0, "", is_here=False)
    assert driver_of(tmp_path) is None
    with pytest.raises(SettingError, match="has ended"):
        drivers.stop(tmp_path, found)
    StudyLock(tmp_path).release()
