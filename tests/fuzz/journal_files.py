"""Other people's journals: any schema, damaged pages, and unusual files next to the journal, opened as by `show` and `resume`.

A case ends in a result or an error of ours within two seconds and 300 MB. A reader changes nothing in the folder, and
nobody changes anything outside of it: a canary that links and crafted rollback journals lead to stays as it was.
"""

import contextlib
import functools
import io
import os
import resource
import shutil
import signal
import sqlite3
import struct
import tempfile
import time
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray import metric_columns
from rbt_ray.cli import studies
from rbt_ray.columns import Outcomes
from rbt_ray.store.journal import Asked, Ended, Finished, Journal
from rbt_ray.store.journal_file import FILE_NAME, RawEvents
from tests.fuzz.hostile import damaged, refused

_SECONDS, _HEADROOM = 2.0, 300 * 2**20
_memory = Path("/dev/shm")  # a case writes a journal or two, which a disk would flush
_folder = Path(tempfile.mkdtemp(prefix="rbt-fuzz-", dir=_memory if _memory.is_dir() else None))
_study, _outside, _temporary = (_folder / name for name in ("study", "outside", "temporary"))
_MAGIC = bytes.fromhex("d9d505f920a163d7")


def hot_journal(victim, n_pages=0, page=4096):
    """A rollback journal that restores nothing and names a file to delete: https://www.sqlite.org/fileformat.html, 3."""
    name = os.fsencode(victim)
    head = struct.pack(">8sIIIII", _MAGIC, 0, 0, n_pages, 512, page).ljust(512, b"\0")
    tail = struct.pack(">I", 0x40000000 // page + 1) + name + struct.pack(">II", len(name), sum(name)) + _MAGIC
    return head + tail


EXPRESSIONS = (
    "zeroblob(1000000000)",
    "hex(randomblob(400000000))",
    "printf('%.900000000d', 1)",
    "load_extension('nothing')",
    "replace(hex(zeroblob(90000)), '0', hex(zeroblob(9000)))",
    "1e400",
    "abs(-9223372036854775808)",
    "x'ff'",
    "'\ud7ff'",
)
QUERIES = (
    "WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r) SELECT n, n, n, n, n FROM r",
    "WITH RECURSIVE r(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM r) SELECT max(n), n, n, n, n FROM r",
    "SELECT a.number, a.kind, a.header, zeroblob(900000000), a.seal FROM old AS a",
    "SELECT 1, 2, 3, 4, 5 FROM events",
    "VALUES (1, 'asked', '{}', NULL, 1)",
    "SELECT * FROM sqlite_master",
)
_COLUMNS = {"meta": ["key", "value"], "events": ["number", "kind", "header", "body", "seal"]}
_TYPES = ("INTEGER PRIMARY KEY", "TEXT PRIMARY KEY", "BLOB", "REAL", "NUMERIC", "", "TEXT NOT NULL", "ANY", "INTEGER")
_VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=20),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["[" * 100_000, "a\0b", '{"n": "\\ud800"}', "[]", "{}", "1e400", "2", "x" * 10**6]),
)


@st.composite
def _tables(draw):
    """SQL that puts another thing in the place of a table."""
    name = draw(st.sampled_from(sorted(_COLUMNS)))
    columns, old = _COLUMNS[name], f"ALTER TABLE {name} RENAME TO old;"
    evil = draw(st.sampled_from(EXPRESSIONS))
    match draw(st.integers(0, 4)):
        case 0:
            names = ", ".join(columns)
            query = draw(st.sampled_from(QUERIES))
            return (
                f"{old} CREATE VIEW {name} ({names}) AS SELECT {names} FROM ({query.replace('n, n, n, n, n', names)})"
            )
        case 1:
            view = draw(st.sampled_from(QUERIES))
            return f"{old} CREATE VIEW {name} AS {view}"
        case 2:
            typed = [f"{column} {draw(st.sampled_from(_TYPES))}" for column in columns[:-1]]
            kind = draw(st.sampled_from(["VIRTUAL", "STORED"]))
            return f"{old} CREATE TABLE {name} ({', '.join(typed)}, {columns[-1]} AS ({evil}) {kind}); INSERT INTO {name} DEFAULT VALUES"
        case 3:
            typed = [f"{column} {draw(st.sampled_from(_TYPES))} DEFAULT ({evil})" for column in columns]
            end = draw(st.sampled_from(["", "WITHOUT ROWID", "STRICT"]))
            check = draw(st.sampled_from(["", f", CHECK ({evil} IS NOT NULL)"]))
            return f"{old} CREATE TABLE {name} ({', '.join(typed)}{check}) {end}; INSERT OR IGNORE INTO {name} SELECT * FROM old"
        case _:
            module = draw(st.sampled_from(["fts5", "fts4", "rtree", "dbstat", "nothing"]))
            return f"{old} CREATE VIRTUAL TABLE {name} USING {module} ({', '.join(columns)})"


@st.composite
def _additions(draw):
    """SQL that adds to a schema."""
    evil, name = draw(st.sampled_from(EXPRESSIONS)), draw(st.sampled_from(sorted(_COLUMNS)))
    column = draw(st.sampled_from(_COLUMNS[name]))
    return draw(
        st.sampled_from(
            [
                f"CREATE TRIGGER t AFTER INSERT ON {name} BEGIN INSERT INTO {name} SELECT * FROM {name}; END",
                f"CREATE TRIGGER t BEFORE INSERT ON events BEGIN SELECT {evil}; END",
                f"CREATE INDEX i ON {name} ({column})",
                f"CREATE INDEX i ON {name} (coalesce({column}, length({column}) || 'x'))",
                f"CREATE UNIQUE INDEX i ON {name} ({column}) WHERE {column} IS NOT NULL",
                f"ALTER TABLE {name} ADD COLUMN more AS ({evil})",
                f"ALTER TABLE {name} ADD COLUMN more DEFAULT 'x'",
                "CREATE VIEW other AS " + draw(st.sampled_from(QUERIES)),
                "CREATE TABLE other (a); INSERT INTO other VALUES (1)",
                "CREATE VIRTUAL TABLE other USING fts5 (a)",
                "CREATE TABLE other (a INTEGER PRIMARY KEY AUTOINCREMENT)",
                "ANALYZE",
                "PRAGMA page_size = 512; VACUUM",
                "PRAGMA auto_vacuum = FULL; VACUUM",
                ";".join(f"CREATE TABLE other{number} (a)" for number in range(600)),
            ]
        )
    )


_SCHEMA_ROWS = st.tuples(
    st.sampled_from(["type", "name", "tbl_name", "rootpage", "sql"]),
    st.one_of(
        _VALUES,
        st.integers(0, 9),
        st.sampled_from(["view", "trigger", "events", "meta", "CREATE TABLE meta (key, value)"]),
        st.builds("CREATE VIEW {} AS {}".format, st.sampled_from(["meta", "events"]), st.sampled_from(QUERIES)),
        st.builds("CREATE TABLE events (a AS ({}))".format, st.sampled_from(EXPRESSIONS)),
        st.just("CREATE TABLE events (a" + "," * 100_000),
        st.just("CREATE TABLE events (a CHECK (" + "(" * 5_000),
    ),
    st.integers(0, 3),
)
_CELLS = st.tuples(
    st.sampled_from([(table, column) for table, columns in _COLUMNS.items() for column in columns]),
    _VALUES,
    st.integers(0, 4),
)
_BESIDE = st.dictionaries(
    st.sampled_from(["", "-journal", "-wal", "-shm", "-flushed"]),
    st.one_of(
        st.sampled_from(["hot", "stranger", "fifo", "link", "dangling", "folder", "hard link", "sparse", "empty"]),
        st.binary(max_size=100),
    ),
    max_size=2,
)


@st.composite
def _folders(draw):
    """What `_make` makes a folder of."""
    few = st.sampled_from([0, 0, 0, 1, 1, 2])
    return {
        "from": draw(st.sampled_from(["closed", "killed", "rollback"])),
        "sql": [draw(st.one_of(_tables(), _additions())) for _ in range(draw(few))],
        "schema": [draw(_SCHEMA_ROWS) for _ in range(draw(few))],
        "cells": [draw(_CELLS) for _ in range(draw(few))],
        "in log": draw(st.booleans()),
        "damage": draw(st.sampled_from([None, None, None, FILE_NAME, f"{FILE_NAME}-wal", "page"])),
        "data": draw(st.randoms(use_true_random=False)).getrandbits(32),
        "bytes": draw(damaged(st.just(bytes(range(256)) * 2))),
        "beside": draw(_BESIDE) if draw(st.integers(0, 2)) == 0 else {},
    }


CASES = _folders()


def _score(params, data):
    return 1.0


@functools.cache
def _sound():
    """Files of valid studies: one closed, one with a killed driver, one not in WAL mode, and one with a foreign log."""
    found = {}
    for name, seed in (("closed", 1), ("killed", 1), ("stranger", 2)):
        tuner = rbt.Tuner(
            _score,
            param_space={"x": rbt.uniform(0, 1)},
            tune_config=rbt.TuneConfig(metric="score", mode="max", search_alg="random", num_samples=9, seed=seed),
            run_config=rbt.RunConfig(name=name, storage_path=_folder / "sound"),
        )
        tuner.path.mkdir(parents=True)
        journal = Journal.create(tuner.path, tuner.study.to_json())
        for first in (0, 3):
            outcomes = Outcomes(np.zeros(3, np.uint8), metric_columns.from_rows([{"score": 0.5}] * 3), {}, np.ones(3))
            journal.append(Asked(first, 3, "0123456789abcdef"))
            trials = np.arange(first, first + 3)
            journal.append(Finished(trials, np.full((3, 1), 0.5), 1.0, outcomes, "local-0", 1.7e9, 0.25, 0.5))
        journal.append(Ended("done", 1.0, 1, "local"))
        if name == "closed":
            journal.close()
        found[name] = {path.name: path.read_bytes() for path in tuner.path.glob(f"{FILE_NAME}*")}
        if name != "closed":
            journal.close()
    content = bytearray(found["closed"][FILE_NAME])
    content[18:20] = b"\1\1"
    found["rollback"] = {FILE_NAME: bytes(content)}
    return found


def check(case):
    for path in (_study, _outside, _temporary):
        _remove(path)
        path.mkdir()
    (_outside / "canary").write_bytes(b"canary")
    _make(case)
    outside, inside = _content(_outside), _content(_study)
    with warnings.catch_warnings(), _bounded():
        warnings.simplefilter("ignore")
        was_refused = refused(lambda: _read(_study))
        assert _content(_study) == inside, "a reader changed the folder"
        refused(lambda: Journal(_study, write=True).close())
    assert _content(_outside) == outside, "a file outside of the study was changed"
    assert not list(_temporary.iterdir()), "a private copy was left"
    return was_refused


def _read(folder):
    with contextlib.redirect_stdout(io.StringIO()):
        studies.show(str(folder), as_json=False)
    with closing(RawEvents(folder)) as events:
        events.rows(1)


@contextlib.contextmanager
def _bounded():
    """Two seconds of this processor's time and 300 MB, with private copies in a folder of this module."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + _HEADROOM, before[1]))
    tempfile.tempdir, kept = str(_temporary), tempfile.tempdir
    handler = signal.signal(signal.SIGALRM, _hangs)
    signal.setitimer(signal.ITIMER_REAL, 60)
    start = time.process_time()
    try:
        yield
        took = time.process_time() - start
        assert took < _SECONDS, f"a case took {took:.1f} s of processor time"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        tempfile.tempdir = kept
        resource.setrlimit(resource.RLIMIT_AS, before)


def _hangs(*_):
    raise TimeoutError("a case hangs")


def _make(case):
    path = _study / FILE_NAME
    for name, content in _sound()[case["from"]].items():
        (_study / name).write_bytes(content)
    with contextlib.suppress(sqlite3.Error, ValueError, OverflowError), closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA synchronous = OFF")
        file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2 * 10**6)
        for sql in case["sql"]:
            with contextlib.suppress(sqlite3.Error):
                file.executescript(sql)
        for (table, column), value, row in case["cells"]:
            with contextlib.suppress(sqlite3.Error, OverflowError):
                change = (
                    f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT rowid FROM {table} LIMIT 1 OFFSET {row})"
                )
                file.execute(change, (value,))
        if case["schema"]:
            file.execute("PRAGMA writable_schema = ON")
        for column, value, row in case["schema"]:
            with contextlib.suppress(sqlite3.Error, OverflowError):
                file.execute(f"UPDATE sqlite_master SET {column} = ? WHERE rowid = ?", (value, row))
        file.commit()
        if case["in log"]:  # as left by a killed driver
            kept = {there: there.read_bytes() for there in _study.iterdir()}
            file.close()
            for there, content in kept.items():
                there.write_bytes(content)
    _damage(case)
    for suffix, what in case["beside"].items():
        _put(path.with_name(path.name + suffix), what)


def _damage(case):
    rng = np.random.default_rng(case["data"])
    name = FILE_NAME if case["damage"] == "page" else case["damage"]
    if name is None or not (_study / name).exists():
        return
    content = bytearray((_study / name).read_bytes())
    at = int(rng.integers(max(len(content), 1)))
    if case["damage"] == "page":  # page heads, which link pages to trees and chains
        at = at // 4096 * 4096 + int(rng.choice([0, 3, 5, 8, 12, 16, 24, 28, 100, 103, 105, 108]))
        content[at : at + 4] = bytes(rng.choice([0, 1, 2, 3, 5, 10, 13, 255], size=4).tolist())
    else:
        content[at : at + len(case["bytes"])] = case["bytes"]
    (_study / name).write_bytes(content)


def _put(path, what):
    if what != "hard link" or not path.exists():
        _remove(path)
    if isinstance(what, bytes):
        path.write_bytes(what)
        return
    match what:
        case "hot":
            path.write_bytes(hot_journal(_outside / "canary"))
        case "stranger":
            log = path.name if path.name in _sound()["stranger"] else f"{FILE_NAME}-wal"
            path.write_bytes(_sound()["stranger"][log])
        case "fifo":
            os.mkfifo(path)
        case "link":
            path.symlink_to(_outside / "canary")
        case "dangling":
            path.symlink_to(_outside / "new")
        case "folder":
            path.mkdir()
        case "hard link" if path.exists():
            os.link(path, _outside / f"second name of {path.name}")
        case "sparse":
            with path.open("wb") as file:
                file.truncate(50 * 2**20)
        case _:
            path.write_bytes(b"")


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _content(folder):
    """Every file's kind, time and content."""
    found = {}
    for path in sorted(folder.iterdir()):
        status = path.lstat()
        there = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[path.name] = (status.st_mode, status.st_mtime_ns, status.st_nlink, there)
    return found
