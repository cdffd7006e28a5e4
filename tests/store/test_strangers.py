"""Reading a study of another user changes no file, runs no SQL of it, and ends in events or a one-sentence error."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.cli.main import run_command
from rbt_ray.errors import JournalError, StudyNotFoundError
from rbt_ray.store import journal_file
from rbt_ray.store.journal import Asked, Ended, Journal
from rbt_ray.store.journal_file import FILE_NAME, RawEvents
from tests.fuzz.journal_files import EXPRESSIONS, QUERIES, hot_journal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and modes are POSIX's")
N_EVENTS = 5


def score(params, data):
    return 1.0


def study(folder):
    """A study that ended, closed."""
    run = rbt.RunConfig(name=folder.name, storage_path=folder.parent)
    tune = rbt.TuneConfig(search_alg="random", num_samples=9, seed=1)
    tuner = rbt.Tuner(score, param_space={"x": rbt.uniform(0, 1)}, tune_config=tune, run_config=run)
    folder.mkdir()
    with closing(Journal.create(folder, tuner.study.to_json())) as journal:
        for first in range(N_EVENTS - 1):
            journal.append(Asked(first, 1, "0123456789abcdef"))
        journal.append(Ended("done", 1.0, 1, "local"))
    return folder


def killed(folder, n_bytes=16):
    """Leaves a study of a killed driver: all events are in the log, with at least so many bytes each."""
    work = folder.with_name("work")
    work.mkdir()
    with closing(Journal.create(work, {})) as journal:
        for first in range(N_EVENTS):
            journal.append(Asked(first, 1, "d" * n_bytes))
        shutil.copytree(work, folder)
    return folder


def read(folder):
    with closing(Journal(folder)) as journal:
        assert isinstance(journal.definition, dict)
        list(journal.read())


def rows(folder):
    with closing(RawEvents(folder)) as events:
        return events.rows(1)


def open_to_write(folder):
    Journal(folder, write=True).close()


def replace_from_a_mirror(folder):
    RawEvents(folder, write=True).close()


def show(folder):
    assert run_command(["show", str(folder)]) == 1
    raise JournalError("said by the command")


def report(folder):
    assert run_command(["report", str(folder), "--out", str(folder.parent / "page.html")]) == 1
    raise JournalError("said by the command")


def resume(folder):
    assert run_command(["resume", str(folder)]) == 1
    raise JournalError("said by the command")


OPENED = [read, rows, open_to_write, replace_from_a_mirror, show, report, resume]


def content(folder):
    return {path.name: (path.lstat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("opened", OPENED)
def test_a_crafted_rollback_journal_deletes_no_file(tmp_path, opened, mode):
    folder, victim = study(tmp_path / "study"), tmp_path / "victim"
    victim.write_text("mine")
    with closing(sqlite3.connect(folder / FILE_NAME)) as file:
        file.execute(f"PRAGMA journal_mode = {mode}")
        [n_pages] = file.execute("PRAGMA page_count").fetchone()
    (folder / f"{FILE_NAME}-journal").write_bytes(hot_journal(victim, n_pages))
    with pytest.raises(JournalError):
        opened(folder)
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("what", ["a pipe", "a link", "a folder", "a second name"])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-flushed"])
def test_only_regular_files_are_opened(tmp_path, suffix, what):
    folder, canary = killed(tmp_path / "study"), tmp_path / "canary"
    path = folder / f"{FILE_NAME}{suffix}"
    shutil.copy(path, canary) if path.exists() else canary.write_bytes(b"mine")
    before = canary.read_bytes()
    path.unlink(missing_ok=True)
    {
        "a pipe": lambda: os.mkfifo(path),
        "a link": lambda: path.symlink_to(canary),
        "a folder": path.mkdir,
        "a second name": lambda: path.hardlink_to(canary),
    }[what]()
    for opened in (open_to_write, *(() if what == "a second name" else (read, rows))):
        with pytest.raises(JournalError, match=r"is not a regular file|is a link|has a second name"):
            opened(folder)
    assert canary.read_bytes() == before


def test_a_new_journal_takes_no_log_of_one_that_is_gone(tmp_path):
    folder = killed(tmp_path / "study")
    (folder / FILE_NAME).unlink()
    before = content(folder)
    with pytest.raises(JournalError, match=f"{FILE_NAME}-wal belongs to a journal that is gone"):
        Journal.create(folder, {"name": "new"})
    assert content(folder) == before


def test_a_reader_counts_what_a_killed_driver_left_and_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    folder = killed(tmp_path / "study")
    before = content(folder)
    with closing(Journal(folder)) as journal:
        assert list((tmp_path / "temporary").iterdir()) == []  # the copy has no name any more: a kill leaves nothing
        assert [event.first for event in journal.read()] == list(range(N_EVENTS))
    assert content(folder) == before
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_copy_is_removed_if_opening_fails_or_close_is_not_called(tmp_path):
    folder, temporary = killed(tmp_path / "study"), tmp_path / "temporary"
    temporary.mkdir()
    code = (
        "import sys\nfrom pathlib import Path\nfrom rbt_ray.store.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\nprint(len(list(Path(sys.argv[2]).iterdir())))\n"
    )
    command = [sys.executable, "-c", code, folder, temporary]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.stdout, list(temporary.iterdir())) == ("0\n", []), done.stderr
    with closing(sqlite3.connect(folder / FILE_NAME)) as file, file:
        file.execute("CREATE TABLE more (a)")
        shutil.copytree(folder, tmp_path / "more")
    done = subprocess.run(
        [*command[:3], tmp_path / "more", temporary], capture_output=True, timeout=60, env=environment
    )
    assert b"contains a table 'more'" in done.stderr
    assert list(temporary.iterdir()) == []


def test_copies_that_killed_readers_left_are_removed_after_an_hour(tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    old, young, other = (temporary / name for name in ("rbt-ray-journal-old", "rbt-ray-journal-young", "other"))
    for folder in (old, young, other):
        folder.mkdir()
        (folder / FILE_NAME).write_bytes(b"a copy")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    link = temporary / "rbt-ray-journal-link"
    link.symlink_to(kept)
    for path in (old, other):
        os.utime(path, (0, 0))
    os.utime(link, (0, 0), follow_symlinks=False)
    folder = killed(tmp_path / "study")
    with closing(Journal(folder)) as journal:
        assert list(journal.read())
    assert sorted(path.name for path in temporary.iterdir()) == [
        "other",
        "rbt-ray-journal-link",
        "rbt-ray-journal-young",
    ]
    assert (kept / "file").exists()


def test_a_copy_that_does_not_fit_is_an_error(tmp_path):
    folder = killed(tmp_path / "study")
    os.truncate(folder / FILE_NAME, shutil.disk_usage(tempfile.gettempdir()).free + 2**36)
    with pytest.raises(JournalError, match=r"bytes left: set TMPDIR to a folder with more room"):
        Journal(folder)


def test_a_reader_of_a_running_study_gets_every_acknowledged_event(tmp_path):
    """The driver runs checkpoints while copies of the file and the log are made."""
    Journal.create(tmp_path, {}).close()
    code = (
        "import sys\nfrom pathlib import Path\nfrom rbt_ray.store.journal import Asked, Journal\n"
        "journal = Journal(Path(sys.argv[1]), write=True)\n"
        "journal._connection.execute('PRAGMA wal_autocheckpoint = 100')\n"
        "for first in range(10**9):\n"
        "    journal.append(Asked(first, 1, 'd' * (first * 977 % 9000)))\n"
        "    print(f'{first:2000}', flush=True)\n"  # it waits where some fifty are unread
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as driver:
        try:
            for _ in range(12):
                acknowledged = [int(driver.stdout.readline()) for _ in range(60)][-1]
                with closing(Journal(tmp_path)) as journal:
                    found = [event.first for event in journal.read()]
                assert found == list(range(len(found)))
                assert len(found) > acknowledged
        finally:
            driver.kill()


def test_a_reader_in_the_drivers_process_releases_none_of_its_locks(tmp_path):
    """Without locks, another process that closes the file would act as the last one and delete the log in use."""
    Journal.create(tmp_path, {}).close()
    opened_before = Journal(tmp_path)
    with closing(Journal(tmp_path, write=True)) as journal:
        journal.append(Asked(0, 1, "a"))
        opened_before.close()
        read(tmp_path)
        assert len(rows(tmp_path)) == 1
        code = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute('SELECT * FROM events').fetchall()\nc.close()"
        subprocess.run([sys.executable, "-c", code, tmp_path / FILE_NAME], check=True, timeout=60)
        journal.append(Asked(1, 1, "b"))
        shutil.copytree(tmp_path, tmp_path / "copy")
    assert len(rows(tmp_path / "copy")) == 2


def test_a_reader_in_the_drivers_process_reads_on(tmp_path):
    with closing(Journal.create(tmp_path, {})) as journal, closing(Journal(tmp_path)) as reader:
        for first in range(3):
            journal.append(Asked(first, 1, "a"))
            assert len(list(reader.read())) == len(rows(tmp_path)) == first + 1


def test_a_file_that_is_written_while_it_is_read_gives_its_old_events_or_an_error(tmp_path):
    folder = study(tmp_path / "study")
    with closing(Journal(folder)) as journal:
        with closing(Journal(folder, write=True)) as driver:
            for first in range(50):
                driver.append(Asked(first, 1, "d" * 3000))
        with suppress(JournalError):
            assert [type(event) for event in journal.read()][:N_EVENTS] == [Asked] * (N_EVENTS - 1) + [Ended]
    with closing(Journal(folder)) as journal:
        with closing(sqlite3.connect(folder / FILE_NAME)) as file, file:
            file.execute("DELETE FROM events WHERE number > 3")
        with pytest.raises(JournalError, match="was written while it was read: try again"):
            list(journal.read())


_PLAIN = {"meta": "key TEXT PRIMARY KEY, value TEXT NOT NULL", "events": "number INTEGER PRIMARY KEY, kind, header"}
_EVENTS = "number, kind, header, body, seal"
SCHEMAS = {
    "a view": "ALTER TABLE events RENAME TO old; CREATE VIEW events AS SELECT * FROM old",
    "an endless view": f"DROP TABLE events; CREATE VIEW events ({_EVENTS}) AS {QUERIES[0]}",
    "an endless view of the greatest": f"DROP TABLE events; CREATE VIEW events ({_EVENTS}) AS {QUERIES[1]}",
    "an endless view of meta": f"DROP TABLE meta; CREATE VIEW meta AS {QUERIES[0].replace('n, n, n, n, n', 'n AS key, n AS value')}",
    "much memory": f"ALTER TABLE events RENAME TO old; CREATE VIEW events AS SELECT number, kind, header, {EXPRESSIONS[0]} AS body, seal FROM old",
    "a generated column": "ALTER TABLE events RENAME TO old; CREATE TABLE events (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, "
    "header TEXT NOT NULL, body BLOB AS (zeroblob(900000000)), seal INTEGER NOT NULL); INSERT INTO events VALUES (1, 'asked', '{}', 1)",
    "a generated column of meta": f"ALTER TABLE meta ADD COLUMN more AS ({EXPRESSIONS[0]})",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END",
    "an index": "CREATE INDEX i ON events (kind)",
    "an index of an expression": "CREATE INDEX i ON events (length(header))",
    "a check": f"ALTER TABLE events RENAME TO old; CREATE TABLE events ({_PLAIN['events']}, CHECK (length(zeroblob(100000000)) > 0)); "
    "INSERT INTO events SELECT number, kind, header FROM old",
    "a table": "CREATE TABLE other (a)",
    "many tables": "; ".join(f"CREATE TABLE other{number} (a)" for number in range(1500)),
    "a virtual table": "DROP TABLE events; CREATE VIRTUAL TABLE events USING fts4 (number, kind, header, body, seal)",
    "a table without row ids": f"DROP TABLE events; CREATE TABLE events ({_PLAIN['events']}) WITHOUT ROWID",
    "numbers as text": "DROP TABLE events; CREATE TABLE events (number TEXT PRIMARY KEY, kind, header, body, seal); "
    "INSERT INTO events VALUES ('x', 1, 2, 3, 4)",
    "an infinite number": "DROP TABLE events; CREATE TABLE events (number REAL, kind, header, body, seal); "
    "INSERT INTO events VALUES (1e400, 1, 2, 3, 4)",
    "nothing": "DROP TABLE events",
    "statistics": "ANALYZE",
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_no_schema_but_ours_is_selected_from(tmp_path, name):
    folder = study(tmp_path / "study")
    with closing(sqlite3.connect(folder / FILE_NAME)) as file:
        file.executescript(f"PRAGMA synchronous = OFF; BEGIN; {SCHEMAS[name]}; COMMIT")
    before = (folder / FILE_NAME).read_bytes()
    start = time.process_time()
    for opened in (read, rows, open_to_write, replace_from_a_mirror):
        with pytest.raises(JournalError, match=r"is not a journal, or it is damaged|cannot be read: interrupted"):
            opened(folder)
    assert time.process_time() - start < 5
    assert (folder / FILE_NAME).read_bytes() == before


def test_comments_and_line_breaks_of_the_schema_are_no_part_of_it(tmp_path):
    folder = study(tmp_path / "study")
    with closing(sqlite3.connect(folder / FILE_NAME)) as file, file:
        file.execute("PRAGMA writable_schema = ON")
        [sql] = file.execute("SELECT sql FROM sqlite_master WHERE name = 'events'").fetchone()
        bare = sql.replace("of all of these", "of the row").replace("\n    kind", "\n\n  kind")
        assert bare != sql
        file.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'events'", (bare,))
    assert len(rows(folder)) == N_EVENTS


def test_another_format_is_reported_for_any_tables(tmp_path):
    folder = study(tmp_path / "study")
    with closing(sqlite3.connect(folder / FILE_NAME)) as file, file:
        file.execute("UPDATE meta SET value = '1' WHERE key = 'format'")
        file.execute("DROP TABLE events")
        file.execute(
            "CREATE TABLE events (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, header TEXT NOT NULL, body BLOB)"
        )
    for opened in (read, rows, open_to_write):
        with pytest.raises(JournalError, match="has format 1; this version of rbt_ray reads format 2"):
            opened(folder)


def test_a_log_that_claims_a_huge_file_takes_no_memory(tmp_path):
    """SQLite's structure check allocates a bit for each page that the log claims."""
    folder = killed(tmp_path / "study", n_bytes=9_000)
    log = bytearray((folder / f"{FILE_NAME}-wal").read_bytes())
    big = int.from_bytes(log[:4], "big") & 1
    first, second = (int.from_bytes(log[at : at + 4], "big") for at in (24, 28))
    n_pages = 2**31
    for at in range(32, len(log), 24 + 4096):  # every frame is summed again, as any program can
        if int.from_bytes(log[at : at + 4], "big") == 1:
            log[at + 24 + 28 : at + 24 + 32] = n_pages.to_bytes(4, "big")
        if any(log[at + 4 : at + 8]):
            log[at + 4 : at + 8] = n_pages.to_bytes(4, "big")
        summed = log[at : at + 8] + log[at + 24 : at + 24 + 4096]
        for word in range(0, len(summed), 8):
            order = "big" if big else "little"
            first = (first + int.from_bytes(summed[word : word + 4], order) + second) % 2**32
            second = (second + int.from_bytes(summed[word + 4 : word + 8], order) + first) % 2**32
        log[at + 16 : at + 24] = first.to_bytes(4, "big") + second.to_bytes(4, "big")
    (folder / f"{FILE_NAME}-wal").write_bytes(log)
    for opened in (read, open_to_write):
        with pytest.raises(JournalError, match="claims to have"):
            opened(folder)


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=9),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    st.sampled_from(
        [b"\xff", b"2", "2", "02", "²", "9" * 30, "[" * 100_000, "a\0b", '{"a": "\\ud800"}', 1e308, "1e400"]
    ),
)
PLACES = st.one_of(
    st.tuples(st.just("meta"), st.sampled_from(["key", "value"]), st.integers(0, 2)),
    st.tuples(st.just("events"), st.sampled_from(["number", "kind", "header", "body", "seal"]), st.integers(0, 4)),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return study(tmp_path_factory.mktemp("sound") / "study")


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(PLACES, VALUES, st.booleans()), min_size=1, max_size=3))
@example(changes=[(("meta", "value", 0), b"\xff", False)])
@example(changes=[(("meta", "value", 0), "[" * 100_000, False)])
def test_values_of_any_type_end_in_events_or_an_error(sound, tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("changed")
    shutil.copy(sound / FILE_NAME, folder)
    with closing(sqlite3.connect(folder / FILE_NAME)) as file, file:
        file.execute("PRAGMA synchronous = OFF")
        for (table, column, row), value, invalid in changes:
            as_text = "CAST(? AS TEXT)" if invalid and isinstance(value, bytes) else "?"  # text that is no UTF-8
            change = f"UPDATE OR IGNORE {table} SET {column} = {as_text} WHERE rowid IN (SELECT rowid FROM {table} LIMIT 1 OFFSET ?)"
            with suppress(sqlite3.IntegrityError):
                file.execute(change, (value, row))
        file.text_factory = lambda content: content.decode(errors="replace")
        meta = dict(file.execute("SELECT CAST(key AS BLOB), value FROM meta").fetchall())
        if isinstance(text := meta.get(b"definition"), str) and meta.get(b"format") == "2":
            sealed = journal_file._meta_checksum({"format": "2", "definition": text})
            file.execute("UPDATE meta SET value = ? WHERE key = 'seal'", (sealed,))
    for opened in (read, rows, open_to_write):
        said = []
        try:
            opened(folder)
        except JournalError as error:
            said = [str(error)]
        assert all(len(text) < 500 and "\n" not in text for text in said)


def test_a_definition_that_cannot_be_parsed_is_an_error(tmp_path):
    for text in ("[" * 100_000, "[]", "{", "", "null"):
        meta = {"format": "2", "definition": text}
        with pytest.raises(JournalError, match="its definition is no JSON object"):
            journal_file.definition_of({**meta, "seal": journal_file._meta_checksum(meta)}, "it")


def test_a_path_without_a_journal_has_no_study(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(StudyNotFoundError, match="there is no study in"):
            Journal(path)
