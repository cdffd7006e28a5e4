"""Other people's studies: arbitrary events with correct checksums, opened as by `show` and `report`."""

import copy
import functools
import io
import json
import sqlite3
import tempfile
import warnings
from contextlib import closing, redirect_stdout
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray import metric_columns
from rbt_ray.block_sums import N_SUMS, BlockRows
from rbt_ray.cli.tables import print_results
from rbt_ray.columns import Outcomes
from rbt_ray.store import journal_file
from rbt_ray.store.journal import Asked, Distrusted, Ended, Evaluated, Extended, Finished, Journal, Reviewed
from rbt_ray.study.draw import AUDIT_FIRST
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.tuner.tuner import Tuner
from tests.fuzz.definitions import places
from tests.fuzz.hostile import NUMBERS, SCALARS, VALUES, damaged, refused

_folder = Path(tempfile.mkdtemp(prefix="rbt-fuzz-"))


def _score(params, data):
    return 1.0


SPACES = (
    {"n": rbt.randint(5, 60), "kind": rbt.choice(["a", None, 2.5]), "x": rbt.loguniform(1e-3, 1.0)},
    {"fixed": 3},
)


def _finished(points, first):
    rows = [
        {"score": 0.5 * row, "n": row, "flag": row % 2 == 0, "mixed": [None, "a", 2**70][row % 3]} for row in range(3)
    ]
    outcomes = Outcomes(
        np.array([0, 0, 1], np.uint8),
        metric_columns.from_rows([*rows[:2], None]),
        {2: "why"},
        np.linspace(0.1, 0.3, 3),
        block_sums=BlockRows(np.array([1]), np.full((1, N_SUMS), 0.5)) if first else None,
    )
    trials = np.arange(first, first + 3) + np.array([0, 0, first % 10])
    return Finished(trials, points, 1.0 if first else 0.5, outcomes, "local-0", 1.7e9 + first, 0.25, 0.5)


@functools.cache
def _sound(at):
    """A study's definition and its rows, as Tuners and drivers write them."""
    tuner = Tuner(
        _score,
        param_space=SPACES[at],
        bundle="sample",
        tune_config=TuneConfig(metric="score", mode="max", search_alg="random", num_samples=9),
        run_config=RunConfig(name="s", storage_path=_folder / "none"),
    )
    space = tuner.study.space
    journal = Journal.create(_folder, tuner.study.to_json())
    for first in (0, 3):
        journal.append(Asked(first, 3, "0123456789abcdef"))
        journal.append(_finished(space.from_unit(np.random.default_rng(first).random((3, space.n_params))), first))
    points = space.from_unit(np.random.default_rng(9).random((3, space.n_params)))
    journal.append(Evaluated("audit", _finished(points, AUDIT_FIRST)))
    top = [{"trial": 3, "order_level": {"score": 1.0}, "holdout": {"score": 0.1}, "error": None}]
    curves = {name: np.linspace(1, 2, 20) for name in ("time_ms", "equity", "buy_and_hold")}
    journal.append(Reviewed(top, curves))
    journal.append(Ended("done", 1.5, 2, "local", ["a note"]))
    journal.append(Extended(12, 40.0, space.to_json(), points))
    journal.append(Distrusted("`close`, bars 0 to 99"))
    journal.close()
    with closing(sqlite3.connect(_folder / journal_file.FILE_NAME)) as file:
        meta = file.execute("SELECT key, value FROM meta").fetchall()
        return meta, file.execute("SELECT kind, header, body FROM events ORDER BY number").fetchall()


@st.composite
def _bodies(draw, body):
    """The columns of an event, with other numbers or of another length."""
    if draw(st.booleans()):
        return draw(damaged(st.just(body)))
    numbers = np.frombuffer(body[: len(body) // 8 * 8], "<f8").copy()
    if len(numbers):
        numbers[draw(st.integers(0, len(numbers) - 1))] = draw(
            st.one_of(st.floats(), st.sampled_from([-1.0, 3.0, 0.5, 59.5, 60.0, 1e9, 1e300, np.nan, np.inf]))
        )
    return numbers.tobytes() + body[len(numbers) * 8 :]


@st.composite
def _histories(draw):
    at = draw(st.sampled_from(range(len(SPACES))))
    rows = [list(row) for row in _sound(at)[1]]
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        row = draw(st.sampled_from(rows))
        if row[2] is not None and draw(st.integers(0, 3)) == 0:
            row[2] = draw(st.one_of(st.none(), _bodies(row[2])))
            continue
        header = {"header": json.loads(row[1])}
        *path, last = draw(st.sampled_from(list(places(header))))
        within = functools.reduce(lambda inner, key: inner[key], path, header)
        match draw(st.integers(0, 5)):
            case 0 if path:
                del within[last]
            case 1:
                within[last] = draw(NUMBERS)
            case 2 if path and isinstance(within, dict):
                within[draw(st.sampled_from(["n", "9", "-1", "trial_id", "score", "x"]))] = copy.deepcopy(within[last])
            case _:
                within[last] = draw(st.one_of(SCALARS, VALUES, st.none()))
        row[1] = json.dumps(header["header"])
    if draw(st.integers(0, 9)) == 0:
        rows.append(list(draw(st.sampled_from(rows))))
    if draw(st.integers(0, 9)) == 0:
        draw(st.sampled_from(rows))[0] = draw(
            st.sampled_from(["asked", "finished", "reviewed", "ended", "distrusted", "evaluated", "other"])
        )
    return at, rows


CASES = _histories()


def check(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return refused(lambda: _open(*case))


def _open(at, rows):
    _write(_sound(at)[0], rows)
    results = ResultGrid(_folder)
    for as_json in (False, True):
        with redirect_stdout(io.StringIO()):
            print_results(results, as_json=as_json, report=None)
    results.report(_folder / "report.html")
    results.block_sums()
    json.dumps(results.verdict().to_dict(), allow_nan=False)
    assert len(results.get_dataframe()) == len(results) == len(list(results))


def _write(meta, rows):
    """Writes a journal with these events."""
    with closing(sqlite3.connect(_folder / journal_file.FILE_NAME)) as file, file:
        file.execute("PRAGMA synchronous = OFF")
        file.execute("DELETE FROM events")
        file.executemany("UPDATE meta SET value = ? WHERE key = ?", [(value, key) for key, value in meta])
        for number, (kind, header, body) in enumerate(rows, 1):
            sealed = journal_file.row_checksum(number, kind, header, body)
            file.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", (number, kind, header, body, sealed))
