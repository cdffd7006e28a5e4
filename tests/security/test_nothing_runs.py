"""Opening another person's study or bundle runs no code, and no saved file contains code."""

import json
import os
import pickle
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import rbt_ray as rbt
from rbt_ray.store import journal_file

_PICKLE = re.compile(rb"\x80[\x03-\x05](\x95.{3}\x00{5}|c|\x8c|\])", re.DOTALL)


class Trap:
    """Creates a marker file when unpickled."""

    def __init__(self, mark):
        self._mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self._mark),)


def study(folder, name):
    """A study with everything in it: failures, a review, a hold-out."""

    def objective(params, data):
        if params["fast"] == 6:
            raise ValueError("no")
        fast, slow = data.sma("close", params["fast"]), data.sma("close", 30)
        return rbt.backtest(data, (fast > slow) / data.n_symbols)

    rbt.Tuner(
        objective,
        param_space={"fast": rbt.randint(5, 9)},
        bundle=rbt.Bundle.from_frame(frame()),
        tune_config=rbt.TuneConfig(holdout=0.25, seed=7),
        run_config=rbt.RunConfig(name=name, storage_path=folder, num_workers=1, verbose=0),
    ).fit()
    return folder / name


def frame():
    import pandas as pd

    days = pd.date_range("2020-01-01", periods=300, freq="B")
    rng = np.random.default_rng(3)
    return pd.DataFrame({"date": days, "symbol": "ABC", "close": 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 300)))})


def prices(folder, whose, trap):
    """The same prices in every kind of file; theirs with a type that pyarrow once unpickled."""
    rbt.Bundle.from_frame(frame()).save(folder / f"{whose}.arrow")
    table = pa.Table.from_pandas(frame())
    if trap is not None:
        evil = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": trap}
        table = table.set_column(2, table.schema.field(2).with_metadata(evil), table.column(2))
    with pa.ipc.new_file(folder / f"{whose}.feather", table.schema) as writer:
        writer.write_table(table)
    pq.write_table(table, folder / f"{whose}.parquet")
    frame().to_csv(folder / f"{whose}.csv", index=False)


def arm(theirs, folder, trap):
    """Another person's study: its objective is a module next to it, and all its text is code or a pickle."""
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(folder / 'mark')!r})\n")
    code = f"__import__('os').mkdir({str(folder / 'mark')!r})"
    with closing(sqlite3.connect(theirs / "journal.sqlite")) as file, file:
        (text,) = file.execute("SELECT value FROM meta WHERE key = 'definition'").fetchone()
        definition = json.loads(text)
        definition["objective"] = {
            "name": "evil:objective",
            "options": {"x": code, "y": trap.decode("latin-1")},
            "folder": str(folder),
            "fingerprint": "0" * 64,
        }
        definition["why"] = definition["name"] = code
        meta = dict(file.execute("SELECT key, value FROM meta")) | {"definition": json.dumps(definition)}
        meta["seal"] = journal_file._meta_checksum(meta)  # an attacker can compute it too
        file.executemany("UPDATE meta SET value = ? WHERE key = ?", [(value, key) for key, value in meta.items()])
        rows = file.execute("SELECT number, header, body FROM events WHERE kind = 'finished'").fetchall()
        for number, header, body in rows:
            told = json.loads(header)
            told["worker"] = code
            told["errors"] = dict.fromkeys(told["errors"], f"{code}\n!!python/object/apply:os.mkdir [x]")
            sealed = journal_file.row_checksum(number, "finished", json.dumps(told), body)
            file.execute("UPDATE events SET header = ?, seal = ? WHERE number = ?", (json.dumps(told), sealed, number))


def test_opening_what_somebody_else_left_runs_no_code(tmp_path):
    trap = pickle.dumps(Trap(tmp_path / "mark"))
    for whose in ("ours", "theirs"):
        study(tmp_path, whose)
        prices(tmp_path, whose, trap if whose == "theirs" else None)
    arm(tmp_path / "theirs", tmp_path, trap)
    command = [sys.executable, "-m", "tests.security.foreign", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run.json").read_text()) == []
    assert not (tmp_path / "mark").exists()
    assert (tmp_path / "theirs.html").exists()


def reports(params, data):
    """Continues from checkpoints, which are pickles while a study runs."""
    start = rbt.get_checkpoint() or {"mark-of-a-checkpoint": 0}
    for step in range(start["mark-of-a-checkpoint"] + 1, 28):
        rbt.report(params["x"] + step / 100, checkpoint={"mark-of-a-checkpoint": step})


def test_no_file_of_a_study_or_a_bundle_holds_a_pickle(tmp_path):
    assert _PICKLE.search(b"noise" + pickle.dumps({"x": [1.5]}) + b"noise")
    study(tmp_path, "plain")
    rbt.Tuner(
        reports,
        param_space={"x": rbt.uniform(0, 1)},
        tune_config=rbt.TuneConfig(
            scheduler="successive_halving", num_samples=9, fidelity="reports", max_reports=27, seed=7
        ),
        run_config=rbt.RunConfig(name="reports", storage_path=tmp_path, num_workers=1, verbose=0),
    ).fit()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"journal.sqlite", "bundle.arrow"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert b"mark-of-a-checkpoint" not in content, path
        assert not _PICKLE.search(content), path
