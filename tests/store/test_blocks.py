"""The best trial and the hash of a study are the same if it is read in blocks, and as a whole."""

from contextlib import closing

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.errors import JournalError, NoResultError
from rbt_ray.metric_columns import Column
from rbt_ray.objectives.address import address_of
from rbt_ray.store import blocks
from rbt_ray.store.blocks import best_in_blocks, hash_in_blocks, read_in_blocks
from rbt_ray.store.journal import Distrusted, Ended, Finished, Journal
from rbt_ray.store.study_record import read_study
from rbt_ray.study.goals import Goal
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.types import COMPLETED, FAILED

N = 200


def study_of(**given):
    return Study(
        **{"name": "s", "space": Space.of({"x": rbt.uniform(0, 1), "n": rbt.randint(0, 9)}), "metric": "score"},
        **{"mode": "max", "search_alg": "random", "num_samples": N, "seed": 1, "max_pending": None, **given},
        **{"deterministic": True, "objective": address_of(study_of)},
    )


def batch(trials, fidelity=1.0, kind="float", shares=()):
    """Trials whose scores repeat, so that several are the best; every seventh has failed."""
    trials = np.array(trials)
    n, status = len(trials), np.where(trials % 7 == 3, FAILED, COMPLETED).astype(np.uint8)
    there, score = status == COMPLETED, np.round(np.sin(trials * 1.7), 1)
    made = {"float": score, "int": (10 * score).astype(np.int64), "json": np.array(list(map(str, trials)), object)}
    metrics = {"score": Column("float", score, there), "cost": Column(kind, made[kind], there)}
    errors = {row: f"error {trials[row]}" for row in np.flatnonzero(~there).tolist()}
    cut = {row: 0.5 for row in range(n) if trials[row] in shares}
    points = np.column_stack([trials / N, trials % 9])
    outcomes = Outcomes(status, metrics, errors, trials / 100, shares=cut)
    return Finished(trials, points, fidelity, outcomes, f"w{trials[0] % 3}", 1.0, 0.1, 0.2)


def cut(order, sizes):
    """Batches of these trials, of these sizes in turn."""
    found, at = [], 0
    while at < len(order):
        found.append(order[at : at + sizes[len(found) % len(sizes)]])
        at += len(found[-1])
    return found


def shuffled(parts, seed=0):
    return [parts[at] for at in np.random.default_rng(seed).permutation(len(parts))]


ALL = list(range(N))
STUDIES = {
    "in order": [batch(part) for part in cut(ALL, [5, 1, 12])],
    "in another order": [batch(part) for part in shuffled(cut(ALL, [5, 1, 12]))],
    "batches that interleave": [batch(part) for part in shuffled(cut(ALL[::2] + ALL[1::2], [9, 4]))],
    "trials of a batch in any order": [batch(part) for part in cut(shuffled(ALL), [9, 4])],
    "two fidelities": [batch(ALL[::3], 0.5), *(batch(part) for part in cut(ALL[1::3] + ALL[2::3], [8]))],
    "trials that stopped by themselves": [batch(part, shares=range(0, N, 5)) for part in shuffled(cut(ALL, [6]))],
    "trials that did not finish": [batch(part) for part in shuffled(cut(ALL[4:90] + ALL[101:], [7, 2]))],
    "a resumed study": [*(batch(part) for part in cut(ALL, [30])), Ended("interrupted", 1.0, 2, "local")],
}
WHOLE = {
    "a metric of texts": [batch(part, kind="json") for part in cut(ALL, [10])],
    "a metric of two kinds": [batch(ALL[:100]), batch(ALL[100:], kind="int")],
    "prices that changed": [batch(ALL[:50]), Distrusted("`close`"), batch(ALL[50:])],
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "LARGE_BYTES", 1)
    monkeypatch.setattr(blocks, "_TRIALS", 16)


def recorded(folder, events, study=None):
    with closing(Journal.create(folder, (study or study_of()).to_json())) as journal:
        journal.append(*events)
    return folder


@pytest.mark.parametrize("events", STUDIES.values(), ids=STUDIES)
@pytest.mark.parametrize("mode", ["max", "min"])
def test_blocks_give_the_same_best_trial_and_hash(tmp_path, events, mode):
    folder = recorded(tmp_path, events, study_of(mode=mode))
    table = read_study(folder).table
    assert read_in_blocks(folder, None, hash_in_blocks) == table.hash() == ResultGrid(folder).table_hash()
    best = table.results()[int(table.ranking(1)[0])]
    assert read_in_blocks(folder, None, best_in_blocks) == best == ResultGrid(folder).get_best_result()


@pytest.mark.parametrize("events", WHOLE.values(), ids=WHOLE)
def test_other_studies_are_read_as_a_whole(tmp_path, events):
    folder = recorded(tmp_path, events)
    assert read_in_blocks(folder, None, hash_in_blocks) is None
    table, results = read_study(folder).table, ResultGrid(folder)
    assert results.table_hash() == table.hash()
    assert results.get_best_result() == table.results()[int(table.ranking(1)[0])]


def test_a_study_of_several_metrics_has_no_single_best(tmp_path):
    folder = recorded(tmp_path, STUDIES["in order"], study_of(further_goals=(Goal("cost", "min"),)))
    assert read_in_blocks(folder, None, best_in_blocks) is None
    assert read_in_blocks(folder, None, hash_in_blocks) == read_study(folder).table.hash()


def test_a_trial_that_is_there_twice_is_refused(tmp_path):
    results = ResultGrid(recorded(tmp_path, [batch(range(20)), batch(range(10, 40))]))
    for find in (results.table_hash, results.get_best_result):
        with pytest.raises(JournalError, match="one trial twice"):
            find()


def test_without_a_best_trial_the_error_says_why(tmp_path):
    results = ResultGrid(recorded(tmp_path, [batch([3, 10]), batch([17])]))
    with pytest.raises(NoResultError, match="error 3"):
        results.get_best_result()


def test_a_study_that_was_read_is_not_read_again(tmp_path):
    results = ResultGrid(recorded(tmp_path, [batch(range(40))]))
    best = results.table.hash(), results[int(results.table.ranking(1)[0])]
    with closing(Journal(tmp_path, write=True)) as journal:
        journal.append(batch(range(40, 80)))
    assert (results.table_hash(), results.get_best_result()) == best
