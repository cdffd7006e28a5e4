"""Studies with wrong times, as earlier versions recorded them, can be opened, shown, reported and resumed."""

import json
import math
import sqlite3
from contextlib import closing

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.cli.main import run_command
from rbt_ray.recordable import LATEST_S
from rbt_ray.store import journal_file
from rbt_ray.store.journal import Ended, Finished, Journal


def objective(params, data):
    if params["n"] == 3:
        raise ValueError("three")
    return {"score": params["x"] * params["n"], "note": str(params["n"])}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Returns a study's folder and the hash of its table."""
    results = rbt.Tuner(
        objective,
        param_space={"x": rbt.uniform(0, 1), "n": rbt.randint(0, 9)},
        tune_config=rbt.TuneConfig(metric="score", search_alg="random", num_samples=40, seed=5),
        run_config=rbt.RunConfig(name="s", storage_path=tmp_path_factory.mktemp("studies"), num_workers=1, verbose=0),
    ).fit()
    with closing(sqlite3.connect(results.path / journal_file.FILE_NAME)) as file:
        yield list(file.iterdump()), results.table_hash()
    rbt.shutdown()


def damage(folder, dump, times, duration):
    """Writes other times to every event of the study's journal, with the right checksums."""
    folder.mkdir()
    with closing(sqlite3.connect(folder / journal_file.FILE_NAME)) as file, file:
        file.executescript("\n".join(dump))
        rows = file.execute("SELECT number, kind, header, body FROM events").fetchall()
        for number, kind, text, body in rows:
            header = json.loads(text)
            header.update({name: value for name, value in times.items() if name in header})
            if kind == "finished":
                n = header["n"]
                at = 8 * n * header["n_params"] + (0 if header["contiguous"] else 8 * n)
                at += 0 if header["all_completed"] else n
                body = body[:at] + np.full(n, duration).tobytes() + body[at + 8 * n :]
            text = json.dumps(header)
            sealed = journal_file.row_checksum(number, kind, text, body)
            file.execute(
                "UPDATE events SET header = ?, body = ?, seal = ? WHERE number = ?", (text, body, sealed, number)
            )


ODD = {
    "clocks that ran backwards": ({"started": -5.0, "cpu_s": -1e-9, "wall_s": -3600.0}, -1.0),
    "clocks of the year 2150": ({"started": 5_680_281_600.0}, 5e9),
    "clocks that gave no numbers": ({"started": math.nan, "cpu_s": math.nan, "wall_s": math.nan}, math.nan),
    "clocks without an end": ({"started": 1e300, "cpu_s": math.inf, "wall_s": -math.inf}, math.inf),
    "ints above all floats": ({"started": 10**400, "cpu_s": -(10**400), "wall_s": 10**400}, 1e300),
    "texts": ({"started": "2026-11-29", "cpu_s": "Decimal('1')", "wall_s": None}, 0.5),
}


@pytest.mark.parametrize("what", ODD)
def test_a_study_with_wrong_times_can_be_opened_and_resumed(whole, what, tmp_path, capsys):
    dump, table_hash = whole
    folder = tmp_path / "s"
    damage(folder, dump, *ODD[what])
    results = rbt.ResultGrid(folder)
    assert results.table_hash() == table_hash
    assert results.get_dataframe()["duration_s"].between(0, LATEST_S).all()
    with closing(Journal(folder)) as journal:
        for event in journal.read("finished", "ended"):
            assert isinstance(event, (Finished, Ended))
            times = [event.wall_s] if isinstance(event, Ended) else [event.started, event.cpu_s, event.wall_s]
            assert all(0 <= time <= LATEST_S for time in times)
    for command in ("show", "report"):
        assert run_command([command, str(folder)]) == 0, capsys.readouterr().err
    with closing(sqlite3.connect(folder / journal_file.FILE_NAME)) as file, file:
        last = file.execute("SELECT max(number) FROM events WHERE kind = 'finished'").fetchone()[0]
        file.execute("DELETE FROM events WHERE number >= ?", (last,))
    again = rbt.Tuner.restore(folder, objective, run_config=rbt.RunConfig(num_workers=1, verbose=0)).fit()
    assert again.table_hash() == table_hash


def test_the_table_hash_does_not_depend_on_times(whole, tmp_path):
    dump, table_hash = whole
    damage(tmp_path / "s", dump, {"started": 1.0, "cpu_s": 2.0, "wall_s": 3.0}, 4.0)
    assert rbt.ResultGrid(tmp_path / "s").table_hash() == table_hash
