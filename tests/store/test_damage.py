"""Reading a damaged journal returns the events that were written, or raises an error; it never returns other events."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rbt_ray import metric_columns
from rbt_ray.columns import Outcomes
from rbt_ray.errors import JournalError
from rbt_ray.store.journal import Asked, Ended, Finished, Journal, Reviewed
from rbt_ray.store.journal_file import FILE_NAME, RawEvents
from rbt_ray.store.mirror import Mirror, Segment

LOG_NAME = f"{FILE_NAME}-wal"
N_PLACES = 100
N_FLUSHED = 26  # of 38 events; 12 are in the file
DEFINITION = {"name": "study", "seed": 20, "space": {"x": [0.25, 4.0]}}


def batch(rng, first, n):
    rows = [{"score": float(v), "n": int(v * 100), "label": "b" if v > 0 else "a"} for v in rng.normal(size=n)]
    outcomes = Outcomes(np.zeros(n, np.uint8), metric_columns.from_rows(rows), {}, rng.random(n))
    return Finished(np.arange(first, first + n), rng.random((n, 3)), 1.0, outcomes, "local-0", 1.5, 0.25, 0.5)


def history():
    """Events that fit on one page, that need many pages, and that need overflow pages."""
    rng = np.random.default_rng(3)
    at = 0
    for n in [1, 2, 1, 40, 7, 300, 1, 1, 90, 2, 5, 200, 1, 3, 3, 60, 1, 1]:
        yield Asked(at, n, "0123456789abcdef")
        yield batch(rng, at, n)
        at += n
    yield Reviewed([{"trial": 0, "sweep": {"a": 1.0}}], {"equity": rng.random(700)})
    yield Ended("done", 1.5, 2, "local", ["a note"])


@dataclass
class Original:
    """The files of a journal, and its events.

    Args:
        folder: its files.
        rows: its events.
        ends: how long the log was after each event; empty where there is no log.
        n_flushed: how many events had been flushed to the disk.
    """

    folder: Path
    rows: list
    ends: list
    n_flushed: int


def rows_of(folder):
    with closing(RawEvents(folder)) as events:
        return events.rows(1)


@pytest.fixture(scope="module", params=["closed", "killed"])
def original(request, tmp_path_factory):
    """The files of a driver that ended normally (one file) and of one that was killed (a file and a log)."""
    work, folder = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("original")
    journal, ends = Journal.create(work, DEFINITION), []
    for number, event in enumerate(history()):
        if request.param == "killed" and number == 12:  # some events are in the file, the others in the log
            journal.close()
            journal = Journal(work, write=True)
        journal.append(event)
        if request.param == "killed" and number == N_FLUSHED - 1:
            journal.flush()
        if request.param == "killed":
            ends.append((work / LOG_NAME).stat().st_size if number >= 12 else 0)
    if request.param == "closed":
        journal.close()
    for path in work.glob(f"{FILE_NAME}*"):
        shutil.copy(path, folder)
    if request.param == "killed":
        journal.close()
    return Original(folder, rows_of(work), ends, N_FLUSHED if ends else 0)


def damaged_copy(original, rng, how, folder):
    """Cuts or changes one of the files at a random position; returns the file's name and the position."""
    shutil.copytree(original.folder, folder)
    name = FILE_NAME if not original.ends or rng.random() < 0.3 else LOG_NAME
    content = bytearray((folder / name).read_bytes())
    at = int(rng.integers(len(content)))
    if name == FILE_NAME and rng.random() < 0.3:
        at = int(rng.integers(200))  # headers of the file and of its first page
    if how == "cut":
        del content[at:]
    elif how == "a bit":
        content[at] ^= 1 << int(rng.integers(8))
    else:
        stop = min(at + int(rng.integers(2, 5000)), len(content))
        content[at:stop] = rng.bytes(stop - at) if rng.random() < 0.5 else bytes(stop - at)
    (folder / name).write_bytes(content)
    return name, at


def read(folder):
    """Returns the events a reader gets; None if it raises an error."""
    try:
        with closing(Journal(folder)) as journal:
            assert journal.definition == DEFINITION
            return sum(1 for _ in journal.read()), rows_of(folder)
    except JournalError as error:
        said = str(error)
    assert str(folder) in said
    assert len(said) < 500
    assert "\n" not in said
    return None


@pytest.mark.parametrize("n_places", [40, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["cut", "a bit", "bytes"])
def test_damage_at_random_places(original, how, n_places, tmp_path):
    outcomes = {"whole": 0, "beginning": 0, "refused": 0}
    for seed in range(n_places):
        rng = np.random.default_rng([seed, len(how)])
        folder = tmp_path / str(seed)
        name, at = damaged_copy(original, rng, how, folder)
        where = f"{how} at {at} of {name}, seed {seed}"
        found = read(folder)
        if found is None:
            outcomes["refused"] += 1
        else:
            n, rows = found
            assert n == len(rows)
            assert rows == original.rows[:n], f"another history: {where}"
            outcomes["whole" if n == len(original.rows) else "beginning"] += 1
            if name == FILE_NAME:
                assert n == len(original.rows), f"{len(original.rows) - n} events are lost: {where}"
            else:
                assert n >= original.n_flushed, f"events that were on the disk are lost: {where}"
                if at >= 32:  # beyond the log's own head
                    assert n >= sum(end <= at for end in original.ends), f"events before the damage are lost: {where}"
            go_on(folder, rows, where)
        shutil.rmtree(folder)
    assert outcomes["refused"] + outcomes["whole"] + outcomes["beginning"] == n_places
    if original.ends:
        assert outcomes["beginning"], "no log was damaged"


def go_on(folder, rows, where):
    """Appending to a damaged journal keeps all earlier events and the new one, or is refused."""
    try:
        journal = Journal(folder, write=True)
    except JournalError:
        return
    with closing(journal):
        journal.append(Asked(10**6, 1, "the next"))
    assert rows_of(folder)[:-1] == rows, where
    with closing(Journal(folder)) as journal:
        assert list(journal.read())[-1] == Asked(10**6, 1, "the next"), where


def test_damage_to_a_mirror(original, tmp_path):
    uri = f"file://{tmp_path}/remote"
    with closing(RawEvents(original.folder)) as events:
        Mirror(uri).write(Segment(1, "", events.meta, original.rows))
    [path] = (tmp_path / "remote").glob("events-*")
    content = path.read_bytes()
    refused = 0
    for seed in range(N_PLACES):
        rng = np.random.default_rng(seed)
        damaged = bytearray(content)
        at = int(rng.integers(len(content)))
        if seed % 3:
            damaged[at] ^= 1 << int(rng.integers(8))
        else:
            del damaged[at:]
        path.write_bytes(damaged)
        try:
            rows = Mirror(uri).read(1).rows
        except JournalError as error:
            refused += ("is damaged" in str(error)) or ("has format" in str(error))
        else:
            assert rows == original.rows, seed
    assert refused


def small(folder, n=5):
    """Returns the content of a journal whose events fit on one page."""
    folder.mkdir()
    journal = Journal.create(folder, DEFINITION)
    for first in range(n):
        journal.append(Asked(first, 1, "0123456789abcdef"))
    journal.close()
    return (folder / FILE_NAME).read_bytes()


def last_page(content):
    """Returns the position of the page that holds the events."""
    return max(at for at in range(0, len(content), 4096) if b"asked" in content[at : at + 4096])


def test_events_that_a_page_no_longer_counts_are_detected_as_missing(tmp_path):
    content = bytearray(small(tmp_path / "study"))
    count = last_page(content) + 3  # two bytes: how many rows the page holds
    assert content[count : count + 2] == (5).to_bytes(2, "big")
    content[count + 1] = 3
    (tmp_path / "study" / FILE_NAME).write_bytes(content)
    for write in (False, True):
        with (
            pytest.raises(JournalError, match="is damaged"),
            closing(Journal(tmp_path / "study", write=write)) as journal,
        ):
            list(journal.read())
    with pytest.raises(JournalError, match="is damaged"):
        Journal(tmp_path / "study", write=True)


def test_a_missing_event_in_the_middle_is_detected(tmp_path):
    small(tmp_path / "study")
    with closing(sqlite3.connect(tmp_path / "study" / FILE_NAME)) as connection, connection:
        connection.execute("DELETE FROM events WHERE number = 3")
    with closing(Journal(tmp_path / "study")) as journal, pytest.raises(JournalError, match="event 3 is missing"):
        list(journal.read())


def test_two_swapped_events_are_detected(tmp_path):
    small(tmp_path / "study")
    with closing(sqlite3.connect(tmp_path / "study" / FILE_NAME)) as connection, connection:
        for old, new in [(2, 99), (3, 2), (99, 3)]:
            connection.execute("UPDATE events SET number = ? WHERE number = ?", (new, old))
    with (
        closing(Journal(tmp_path / "study")) as journal,
        pytest.raises(JournalError, match="event 2 is missing, or not"),
    ):
        list(journal.read())


def test_a_definition_that_was_changed_is_refused(tmp_path):
    content = small(tmp_path / "study")
    assert content.count(b'"seed": 20') == 1
    (tmp_path / "study" / FILE_NAME).write_bytes(content.replace(b'"seed": 20', b'"seed": 21'))
    with pytest.raises(JournalError, match="its beginning is not as it was written"):
        Journal(tmp_path / "study")


@pytest.mark.parametrize("version", ["1", "4"])
def test_a_mirror_of_another_format_is_refused(tmp_path, version):
    small(tmp_path / "study")
    with closing(RawEvents(tmp_path / "study")) as events:
        segment = Segment(1, "", {**events.meta, "format": version}, events.rows(1))
    mirror = Mirror(f"file://{tmp_path}/remote")
    mirror.write(segment)
    with pytest.raises(JournalError, match=f"has format {version}; this version of rbt_ray reads format 2"):
        mirror.read(1)


def killed(folder, n=5, flushed=3):
    """Leaves the files of a killed driver: a log with a number of events, some of them flushed."""
    work = folder.with_name("work")
    work.mkdir()
    journal = Journal.create(work, DEFINITION)
    for first in range(n):
        journal.append(Asked(first, 1, "0123456789abcdef"))
        if first + 1 == flushed:
            journal.flush()
    shutil.copytree(work, folder)
    journal.close()


def test_a_lost_flushed_event_is_refused_until_the_marker_is_removed(tmp_path):
    killed(tmp_path / "study")
    log = tmp_path / "study" / LOG_NAME
    content = bytearray(log.read_bytes())
    frame = 24 + 4096
    [second] = [at for at in range(32, len(content), frame) if content[at : at + frame].count(b'{"first": ') == 2]
    content[second + 2000] ^= 1
    log.write_bytes(content)
    for write in (False, True):
        with pytest.raises(JournalError, match="its log gives 1 events, and 3 were on the disk"):
            Journal(tmp_path / "study", write=write)
    (tmp_path / "study" / f"{FILE_NAME}-flushed").unlink()
    with closing(Journal(tmp_path / "study", write=True)) as journal:
        assert [event.first for event in journal.read()] == [0]


def test_an_incomplete_flush_marker_is_ignored(tmp_path):
    killed(tmp_path / "study", flushed=5)
    line = tmp_path / "study" / f"{FILE_NAME}-flushed"
    whole = line.read_bytes()
    (tmp_path / "study" / LOG_NAME).write_bytes(b"")
    for torn in (b"", whole[:10], whole[:-3], whole.replace(b"5", b"7"), b"9" * 64, b"\xff" * 30):
        line.write_bytes(torn)
        with closing(Journal(tmp_path / "study")) as journal:
            assert list(journal.read()) == []
    line.write_bytes(whole)
    with pytest.raises(JournalError, match="its log gives 0 events, and 5 were"):
        Journal(tmp_path / "study")


def test_a_closed_journal_leaves_no_flush_marker(tmp_path):
    journal = Journal.create(tmp_path, DEFINITION)
    journal.append(Asked(0, 1, "0123456789abcdef"))
    journal.flush()
    assert (tmp_path / f"{FILE_NAME}-flushed").stat().st_mode & 0o077 == 0
    journal.close()
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_link_in_place_of_the_flush_marker_is_not_followed(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "mine").write_text("mine")
    journal = Journal.create(tmp_path / "study", DEFINITION)
    (tmp_path / "study" / f"{FILE_NAME}-flushed").symlink_to(tmp_path / "mine")
    journal.append(Asked(0, 1, "0123456789abcdef"))
    journal.flush()
    assert (tmp_path / "mine").read_text() == "mine"
    journal.close()


def test_a_removed_journal_leaves_nothing_to_the_next(tmp_path):
    killed(tmp_path / "study")
    for name in (FILE_NAME, LOG_NAME, f"{FILE_NAME}-shm"):
        (tmp_path / "study" / name).unlink(missing_ok=True)
    with closing(Journal.create(tmp_path / "study", DEFINITION)) as journal:
        assert list(journal.read()) == []
