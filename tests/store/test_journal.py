"""Reading a journal returns the appended events, and nothing else."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray import metric_columns
from rbt_ray.columns import Outcomes
from rbt_ray.errors import JournalBlockedError, JournalError, StudyLockedError, StudyNotFoundError
from rbt_ray.store import connection, flusher
from rbt_ray.store.journal import Asked, Ended, Finished, Journal, Reviewed
from rbt_ray.store.journal_file import FILE_NAME, RawEvents
from rbt_ray.store.lease import StudyLock

values = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.text(max_size=5), st.none())
rows = st.lists(
    st.one_of(st.none(), st.dictionaries(st.sampled_from("abc"), values, max_size=3)), min_size=1, max_size=6
)


def same(left, right):
    """Equal in value and type, with one nan equal to another."""
    return json.dumps(left) == json.dumps(right) and [type(v) for v in left] == [type(v) for v in right]


def finished(metrics_of_rows, trials):
    status = np.array([0 if row is not None else 1 for row in metrics_of_rows], np.uint8)
    errors = {i: "why" for i, code in enumerate(status) if code}
    n = len(trials)
    outcomes = Outcomes(status, metric_columns.from_rows(metrics_of_rows), errors, np.linspace(0, 1, n))
    points = np.arange(2.0 * n).reshape(n, 2)
    return Finished(np.array(trials), points, 0.5, outcomes, "local-0", 12.5, 0.25, 0.5)


@settings(max_examples=50, deadline=None)
@given(rows=rows, gap=st.booleans())
def test_a_finished_batch_is_read_with_its_values_and_types(tmp_path_factory, rows, gap):
    check_finished(tmp_path_factory, rows, gap)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(rows=rows, gap=st.booleans())
def test_many_more_batches_are_read_with_their_values_and_types(tmp_path_factory, rows, gap):
    check_finished(tmp_path_factory, rows, gap)


def check_finished(tmp_path_factory, rows, gap):
    folder = tmp_path_factory.mktemp("journal")
    trials = list(range(3, 3 + len(rows)))
    if gap:
        trials[-1] += 5
    event = finished(rows, trials)
    journal = Journal.create(folder, {})
    journal.append(event)
    [back] = journal.read()
    journal.close()
    assert back.trials.tolist() == trials
    assert back.points.tolist() == event.points.tolist()
    assert (back.fidelity, back.worker, back.started, back.cpu_s, back.wall_s) == (0.5, "local-0", 12.5, 0.25, 0.5)
    assert back.outcomes.status.tolist() == event.outcomes.status.tolist()
    assert back.outcomes.errors == event.outcomes.errors
    for i, row in enumerate(rows):
        found = metric_columns.row(back.outcomes.metrics, i)
        assert found.keys() == (row or {}).keys()
        assert same([found[k] for k in (row or {})], list((row or {}).values()))


def test_events_of_all_kinds_come_back_in_order(tmp_path):
    journal = Journal.create(tmp_path, {"name": "s", "n": [1, None]})
    events = [
        Asked(0, 5, "abc"),
        finished([{"a": 1.0}], [0]),
        Reviewed([{"trial": 0, "sweep": {"a": 1.0}}], {"equity": np.array([1.0, 1.5])}),
        Ended("done", 1.5, 2, "local"),
    ]
    for event in events:
        journal.append(event)
    journal.close()
    again = Journal(tmp_path)
    back = list(again.read())
    assert [type(event) for event in back] == [type(event) for event in events]
    assert back[0] == events[0]
    assert back[3] == events[3]
    assert back[2].curves["equity"].tolist() == [1.0, 1.5]
    assert again.definition == {"name": "s", "n": [1, None]}
    again.close()


def test_appended_events_survive_kill_9_of_the_writer(tmp_path):
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from rbt_ray.store.journal import Asked, Journal\n"
        "journal = Journal.create(Path(sys.argv[1]), {})\n"
        "for first in range(500):\n"
        "    journal.append(Asked(first, 1, 'd'))\n"
        "    print(first, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, timeout=60)
    told = len(done.stdout.splitlines())
    journal = Journal(tmp_path)
    assert [event.first for event in journal.read()] == list(range(told)) == list(range(500))
    journal.close()


def test_a_study_that_is_not_there(tmp_path):
    with pytest.raises(StudyNotFoundError, match="there is no study in"):
        Journal(tmp_path)


def test_a_file_that_is_no_journal(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all" * 100)
    with pytest.raises(JournalError, match="cannot be read"):
        Journal(tmp_path)


def test_a_journal_of_another_format_is_refused(tmp_path):
    import sqlite3

    Journal.create(tmp_path, {}).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    connection.close()
    with pytest.raises(JournalError, match="has format 99; this version of rbt_ray reads format 2"):
        Journal(tmp_path)


def test_files_are_private(tmp_path):
    Journal.create(tmp_path, {}).close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_the_second_driver_is_refused_with_the_pid_of_the_first(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom rbt_ray.store.lease import StudyLock\n"
        "lock = StudyLock(Path(sys.argv[1]))\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StudyLockedError, match=rf"is being run by process {other.pid} on "):
            StudyLock(tmp_path)
        other.kill()
        other.wait()
        StudyLock(tmp_path).release()


def test_one_process_cannot_run_a_study_twice_at_once(tmp_path):
    lock = StudyLock(tmp_path)
    with pytest.raises(StudyLockedError, match="already running"):
        StudyLock(tmp_path)
    lock.release()
    StudyLock(tmp_path).release()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_full_disk_is_an_error_and_recorded_events_stay(tmp_path):
    journal = Journal.create(tmp_path, {})
    journal.append(Asked(0, 1, "a"))
    journal._connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(JournalError, match="full"):
        journal.append(Asked(1, 1, "b" * 10**6))
    journal.close()
    again = Journal(tmp_path)
    assert next(iter(again.read())) == Asked(0, 1, "a")
    again.close()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(JournalError, match="cannot be written"):
        Journal.create(tmp_path / "nowhere", {})


def test_one_of_many_threads_gets_the_lock(tmp_path):
    def take(_):
        try:
            return StudyLock(tmp_path)
        except StudyLockedError:
            return None

    with ThreadPoolExecutor(8) as threads:
        locks = [lock for lock in threads.map(take, range(32)) if lock is not None]
    assert len(locks) == 1
    locks[0].release()


def test_appending_waits_for_another_process_that_holds_the_file(tmp_path):
    """Another process holds the file longer than SQLite waits: the journal asks `when_blocked` and retries."""
    journal = Journal.create(tmp_path, {})
    journal._connection.execute("PRAGMA busy_timeout = 20")
    code = (
        "import sqlite3, sys\n"
        "holder = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "holder.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / FILE_NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(JournalBlockedError, match="locked"):
            journal.append(Asked(0, 1, "a"))
        asked = []

        def wait(error, tries):
            asked.append((error.reason, tries))
            if tries == 2:
                other.kill()
                other.wait()
            return True

        journal.when_blocked = wait
        journal.append(Asked(0, 1, "a"))
    assert [tries for _, tries in asked[:3]] == [0, 1, 2]
    assert all("database is locked" in reason for reason, _ in asked)
    assert list(journal.read()) == [Asked(0, 1, "a")]
    journal.close()


def test_a_hard_linked_backup_of_a_running_study_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(flusher, "_CHECKPOINT_BYTES", 0)
    journal = Journal.create(tmp_path, {})
    journal.append(Asked(0, 1, "x"))
    os.link(journal.path, tmp_path / "backup.sqlite")
    for number in range(1, 4):
        journal.append(Asked(number, 1, "x"))
        journal.flush()  # and folds the log
    journal.close()
    with closing(Journal(tmp_path)) as again:
        assert [event.first for event in again.read()] == [0, 1, 2, 3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_child_that_is_forked_while_another_thread_opens_a_journal_can_open_it(tmp_path):
    Journal.create(tmp_path, {}).close()
    holds, may_end = threading.Event(), threading.Event()

    def hold():
        with connection._opening:
            holds.set()
            may_end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait()
    child = os.fork()
    if child == 0:
        Journal(tmp_path).close()
        os._exit(7)
    may_end.set()
    thread.join()
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended[0] == 0:
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended[1]) == 7


def test_a_superseded_journal_is_private(tmp_path):
    Journal.create(tmp_path, {}).close()
    before = os.umask(0)
    try:
        with closing(RawEvents(tmp_path, write=True)) as events:
            events.copy_to(tmp_path / "superseded.sqlite")
    finally:
        os.umask(before)
    assert (tmp_path / "superseded.sqlite").stat().st_mode & 0o777 == 0o600
