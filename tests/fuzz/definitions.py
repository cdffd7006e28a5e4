"""Other people's studies: a journal with any JSON as its definition, opened as by `show` and `report`."""

import copy
import functools
import json
import sqlite3
import tempfile
import warnings
from contextlib import closing
from pathlib import Path

from ConfigSpace import ConfigurationSpace, EqualsCondition, ForbiddenEqualsClause
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.cli.tables import summary
from rbt_ray.search.registry import make_searcher
from rbt_ray.store import journal_file
from rbt_ray.store.journal import Journal
from rbt_ray.tuner.config import RunConfig, TuneConfig
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.tuner.tuner import Tuner
from tests.fuzz.hostile import SCALARS, VALUES, refused

_folder = Path(tempfile.mkdtemp(prefix="rbt-fuzz-"))


def _score(params, data):
    return 1.0


def _conditional():
    space = ConfigurationSpace({"kind": ["a", "b"], "n": (1, 9), "x": (0.5, 1.5)}, seed=1)
    space.add(EqualsCondition(space["n"], space["kind"], "a"))
    space.add(ForbiddenEqualsClause(space["n"], 3))
    return space


@functools.cache
def _sound():
    """Definitions as Tuners write them."""
    plain = {
        "fast": rbt.randint(5, 60),
        "slow": rbt.choice([20, 50, None]),
        "opt": {"lr": rbt.loguniform(1e-4, 1.0), "q": rbt.quniform(0, 1, 0.25)},
        "fixed": {"a": rbt.fixed([1, 2])},
        "z": rbt.normal(0, 1),
    }
    made = []
    for space, settings in ((plain, {"search_alg": "random"}), (_conditional(), {"search_alg": "bohb", "seed": 3})):
        for bundle in (None, "sample"):
            points = [{"kind": "b", "x": 1.0}] if space is not plain else None
            tuner = Tuner(
                _score,
                param_space=space,
                bundle=bundle,
                tune_config=TuneConfig(points_to_evaluate=points, **settings),
                run_config=RunConfig(name="s", storage_path=_folder / "none"),
            )
            made.append(tuner.study.to_json())
    return made


def places(value, path=()):
    """Every place in a JSON value."""
    if path:
        yield path
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


@st.composite
def _definitions(draw):
    definition = copy.deepcopy(draw(st.sampled_from(_sound())))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        *path, last = draw(st.sampled_from(list(places(definition))))
        at = functools.reduce(lambda inner, key: inner[key], path, definition)
        if draw(st.integers(0, 4)) == 0:
            del at[last]
        else:
            at[last] = draw(st.one_of(SCALARS, VALUES, st.none()))
    return json.dumps(definition)


CASES = st.one_of(_definitions(), st.sampled_from(["", "[", "null", "[]", "{}", "1", "[" * 100_000, '"x"']))


def check(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return refused(lambda: _open(text))


def _open(text):
    _journal(text)
    results = ResultGrid(_folder)
    assert len(results) == 0
    assert summary(results, None)["n_trials"] == 0
    results.report(_folder / "report.html")
    if results.study.search_alg != "custom":  # as `resume` does before any code of the study's objective
        make_searcher(results.study).ask(1)


def _journal(text):
    """Writes a journal with this definition."""
    if not (_folder / "journal.sqlite").exists():
        Journal.create(_folder, {}).close()
    with closing(sqlite3.connect(_folder / "journal.sqlite")) as file, file:
        file.execute("PRAGMA synchronous = OFF")
        meta = {"format": str(journal_file.FORMAT), "definition": text}
        meta["seal"] = journal_file._meta_checksum(meta)  # otherwise the definition would be refused unread
        file.executemany("UPDATE meta SET value = ? WHERE key = ?", [(value, key) for key, value in meta.items()])
