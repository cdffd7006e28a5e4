"""If flushing the log fails, the error is reported, no further events count as flushed, and nothing is lost."""

import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from rbt_ray.engine.journal_retry import JournalRetry
from rbt_ray.errors import JournalBlockedError
from rbt_ray.private_files import DRAFT_PREFIX
from rbt_ray.store.flusher import FlushMarker
from rbt_ray.store.journal import Journal
from rbt_ray.store.journal_file import FILE_NAME
from tests.crash import shim
from tests.crash.disk import Disk, operations

ROOT = Path(__file__).parents[2]
PRELUDE = """
import json, os, sys
from pathlib import Path
from rbt_ray.errors import JournalError
from rbt_ray.store.flusher import FlushMarker
from rbt_ray.store.journal import Asked, Journal
from tests.crash import shim, study
folder = Path(sys.argv[1])
library = shim.loaded()
library.shim_watch(os.fsencode(folder))
marker = FlushMarker(folder / "journal.sqlite")

def event(number):
    return Asked(number, 1, f"event {number}")

def refused(call):
    try:
        call()
    except JournalError as error:
        return str(error)
    return None
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return shim.compiled(tmp_path_factory.mktemp("shim"))


def run(library, folder, code):
    """Runs code with the library in a new process; returns its exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, folder],
        env={**os.environ, "LD_PRELOAD": str(library)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout, done.stderr


STUDY = "study.make_quick()\n{}\nsys.exit(study.run(folder))"


@pytest.fixture(scope="module")
def undisturbed(library, tmp_path_factory):
    """What a study prints whose log reaches the disk: the hash of its table."""
    code, table_hash, _ = run(library, tmp_path_factory.mktemp("right"), STUDY.format(""))
    assert code == 0
    return table_hash


@pytest.mark.slow
@pytest.mark.parametrize("first", [1, 2])
def test_a_study_whose_log_never_reaches_the_disk_ends_with_a_sentence_and_is_resumed(
    library, tmp_path, undisturbed, first
):
    code, out, said = run(library, tmp_path / "wrong", STUDY.format(f"library.shim_fail_log({first}, 5, 1)"))
    assert (code, out) == (1, "")
    assert "Traceback" not in said
    assert said.count("the study pauses: ") == 1
    assert "rbt-ray resume " in said.splitlines()[-1]
    if first == 2:  # the first is of the log's head, by SQLite
        log = tmp_path / "wrong" / "study" / f"{FILE_NAME}-wal"
        assert f"the disk does not store the data written to {log} (fsync: Input/output error). A power cut" in said
    assert run(library, tmp_path / "wrong", STUDY.format(""))[:2] == (0, undisturbed)


def test_what_was_written_before_a_failed_flush_is_written_again_before_it_is_certified(library, tmp_path):
    code = """
library.shim_record(os.fsencode(sys.argv[1] + ".trace"))
journal = Journal.create(folder, {})
journal.append(event(1))
journal.flush()
before = marker.read()
journal.append(event(2))
library.shim_fail_log(1, 5, 0)  # once: the next one succeeds, and proves nothing
said = refused(journal.flush)
during = marker.read()
journal.append(event(3))
journal.flush()
library.shim_note(b"appended 3")
print(json.dumps([before, said, during, marker.read()]), flush=True)
os._exit(0)
"""
    folder = tmp_path / "study"
    folder.mkdir()
    code, out, err = run(library, folder, code)
    assert code == 0, err
    before, said, during, after = json.loads(out)
    assert (before, during, after) == (1, 1, 3)
    assert "the disk does not store the data written to" in said
    trace = operations(Path(f"{folder}.trace"))
    failed = next(at for at, one in enumerate(trace) if one[0] == "failedsync")
    assert all(
        Disk(trace[:stop]).files[trace[failed][1]].is_proven is (stop <= failed) for stop in (failed, failed + 1)
    )
    disk = Disk(trace)
    assert disk.files[disk.log].is_proven


def test_a_log_that_another_process_left_is_written_again_before_it_is_certified(library, tmp_path):
    leave = """
journal = Journal.create(folder, {})
journal.append(event(1))
library.shim_fail_log(1, 5, 0)
assert refused(journal.flush)
os._exit(0)  # its pages are clean now, whatever the disk holds
"""
    resume = """
library.shim_record(os.fsencode(sys.argv[1] + ".trace"))
journal = Journal(folder, write=True)
journal.append(event(2))
journal.flush()
print(marker.read(), flush=True)
os._exit(0)
"""
    folder = tmp_path / "study"
    folder.mkdir()
    assert run(library, folder, leave)[0] == 0
    size = (folder / f"{FILE_NAME}-wal").stat().st_size
    assert run(library, folder, resume)[:2] == (0, "2\n")
    written = [one for one in operations(Path(f"{folder}.trace")) if one[0] == "write" and one[2] == 0]
    assert any(len(one[3]) >= size for one in written)


def test_closing_a_journal_whose_log_the_disk_does_not_take_is_an_error(library, tmp_path):
    code = """
journal = Journal.create(folder, {})
journal.append(event(1))
library.shim_fail_log(1, 5, 1)
print(json.dumps([refused(journal.close), marker.read()]))
"""
    code, out, err = run(library, tmp_path, code)
    assert code == 0, err
    said, certified = json.loads(out)
    assert "A power cut can now lose the last events. Check the disk" in said
    assert (tmp_path / f"{FILE_NAME}-wal").stat().st_size > 0  # not folded into the file by an unproven write
    assert certified == 0
    with closing(Journal(tmp_path)) as journal:
        assert [event.first for event in journal.read()] == [1]


def test_a_log_that_is_folded_while_the_study_runs_is_flushed_before(library, tmp_path):
    code = """
from rbt_ray.store import flusher
flusher._CHECKPOINT_BYTES = 3 * 4096
library.shim_record(os.fsencode(sys.argv[1] + ".trace"))
journal = Journal.create(folder, {})
for number in range(1, 9):
    journal.append(event(number))
journal.append(Asked(9, 1, "d" * 2 * 10**7))  # SQLite itself would fold a log of this size now
print((folder / "journal.sqlite-wal").stat().st_size)
journal.flush()
print((folder / "journal.sqlite-wal").stat().st_size)
os._exit(0)
"""
    folder = tmp_path / "study"
    folder.mkdir()
    code, out, err = run(library, folder, code)
    assert code == 0, err
    before, after = map(int, out.split())
    assert before > 2 * 10**7
    assert after == 0
    trace = operations(Path(f"{folder}.trace"))
    disk = Disk(trace)
    synced = max(at for at, one in enumerate(trace) if one == ("sync", disk.log))
    database = next(one[1] for one in trace if one[0] == "create" and one[2].startswith(DRAFT_PREFIX))
    folded = [at for at, one in enumerate(trace) if one[0] == "write" and one[1] == database and len(one[3]) == 4096]
    assert synced < max(folded)
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(folder / FILE_NAME, alone)
    with closing(Journal(alone)) as journal:
        assert sum(1 for _ in journal.read()) == 9


def test_a_new_study_is_on_the_disk_before_its_first_trial(library, tmp_path):
    code = """
from rbt_ray.private_files import make_folder
from rbt_ray.store import journal_file
library.shim_record(os.fsencode(sys.argv[1] + ".trace"))
make_folder(folder / "a" / "b")
journal_file.create(folder / "a" / "b", {"name": "s"})
os._exit(0)
"""
    assert run(library, tmp_path / "studies", code)[0] == 0
    disk = Disk(operations(tmp_path / "studies.trace"))
    assert {"a", "a/b", f"a/b/{FILE_NAME}"} <= disk.names.keys()  # the names that are on the disk for certain
    assert all(certain for _, certain, _ in disk.names[f"a/b/{FILE_NAME}"].changes)


def test_appending_does_not_wait_for_a_thread_that_ended(library, tmp_path):
    code = """
import threading
from rbt_ray.store import flusher
flusher._FLUSH_SECONDS = 0.01
asked = threading.Event()

def when_blocked(error, tries):
    asked.set()
    raise BrokenPipeError("as printing to a stderr that is closed does")

threading.excepthook = lambda args: None
journal = Journal.create(folder, {})
journal.append(event(1))
journal.when_blocked = when_blocked
library.shim_fail_log(1, 5, 1)
assert asked.wait(60)
print(refused(lambda: journal.append(event(2))))
"""
    code, out, err = run(library, tmp_path, code)
    assert code == 0, err
    assert "the disk does not store the data written to" in out


@pytest.mark.parametrize("forever", [0, 1])
def test_appending_waits_until_the_log_is_flushed_or_the_flusher_gives_up(library, tmp_path, forever):
    code = f"""
import threading
from rbt_ray.store import flusher
flusher._FLUSH_SECONDS = 0.01
asked = threading.Event()

def when_blocked(error, tries):
    asked.set()
    return tries < 3

journal = Journal.create(folder, {{}})
journal.append(event(1))
journal.when_blocked = when_blocked
library.shim_fail_log(1, 5, {forever})
assert asked.wait(60)
said = refused(lambda: journal.append(event(2)))
print(json.dumps([said, refused(journal.close), sum(1 for _ in Journal(folder).read())]))
"""
    code, out, err = run(library, tmp_path, code)
    assert code == 0, err
    appended, closed, n = json.loads(out)
    if forever:
        assert "the disk does not store the data written to" in appended
        assert closed == appended
        assert n == 1
    else:
        assert (appended, closed, n) == (None, None, 2)


def test_a_disk_that_reports_errors_is_waited_for_a_minute_and_a_full_one_without_end(capsys):
    patience = JournalRetry(lambda seconds: False, "studies/s")
    fault = JournalBlockedError("m", "the disk does not take it", is_fault=True)
    full = JournalBlockedError("m", "the disk is full")
    assert [patience(fault, tries) for tries in (0, 1, 119, 120)] == [True, True, True, False]
    assert patience(full, 0)
    assert patience(full, 10**6)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "the disk does not take it. It retries for 60 s; Ctrl-C" in said[0]
    assert "the disk is full. It continues by itself as soon as it can write; Ctrl-C" in said[1]


def test_a_study_continues_if_its_flush_marker_cannot_be_written(tmp_path):
    with closing(Journal.create(tmp_path, {})) as journal:
        FlushMarker(tmp_path / FILE_NAME).path.mkdir()
        journal.flush()
        assert FlushMarker(tmp_path / FILE_NAME).read() == 0


def test_a_journal_that_the_disk_does_not_give_is_not_called_damaged(library, tmp_path):
    code = """
with_events = Journal.create(folder, {})
for number in range(500):
    with_events.append(event(number))
with_events.close()
for call in range(1, 5):
    journal = Journal(folder)
    library.shim_fail(call, 5, 1)
    print(refused(lambda: list(journal.read())))
    library.shim_fail(-1, 0, 0)
    journal.close()
"""
    code, out, err = run(library, tmp_path, code)
    assert code == 0, err
    assert len(out.splitlines()) == 4
    for said in out.splitlines():
        assert said.startswith(f"the journal {tmp_path / FILE_NAME} cannot be read: ")


@pytest.mark.parametrize(("failure", "is_fault"), [(errno.EIO, True), (errno.ENOSPC, False), (errno.EDQUOT, False)])
def test_a_quota_that_is_used_up_is_a_full_disk_and_no_fault(library, tmp_path, failure, is_fault):
    code = f"""
errors = []
journal = Journal.create(folder, {{}})
journal.append(event(1))
journal.when_blocked = lambda error, tries: errors.append(error.is_fault)
library.shim_fail(3, {failure}, 1)  # SQLite reports a quota as an I/O error
refused(lambda: journal.append(event(2)))
library.shim_fail(-1, 0, 0)
print(json.dumps(errors))
"""
    code, out, err = run(library, tmp_path, code)
    assert code == 0, err
    assert json.loads(out) == [is_fault]
