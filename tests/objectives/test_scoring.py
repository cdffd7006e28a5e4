"""A batch scores as its configs would one by one; fingerprints tell objectives from each other."""

import functools
import os
import subprocess
import sys

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.objectives.address import address_of
from rbt_ray.objectives.kind import kind_of
from rbt_ray.objectives.objective import as_evaluator, join_outcomes
from rbt_ray.study.space import Space

SPACE = Space.of({"n": rbt.randint(0, 20)})
POINTS = np.arange(20.0).reshape(-1, 1)


def moody(params, data):
    n = params["n"]
    if n % 7 == 3:
        return {"score": float("nan"), "aux": 1.5, "other": "text"}
    return {"score": n, "aux": n}


@rbt.batched
def moody_batch(params, data):
    return [moody(p, data) for p in params]


@pytest.mark.parametrize("objective", [moody, moody_batch])
@pytest.mark.parametrize("size", [1, 3, 20])
def test_failed_trials_leave_no_mark_on_the_columns_of_their_batch(objective, size):
    evaluator = as_evaluator(objective, SPACE, "score")
    pieces = [POINTS[i : i + size] for i in range(0, len(POINTS), size)]
    whole = join_outcomes([evaluator.score(None, piece, [0] * len(piece)) for piece in pieces])
    assert {name: column.kind for name, column in whole.metrics.items()} == {"score": "int", "aux": "int"}
    assert whole.metrics["aux"].to_list() == [None if n % 7 == 3 else n for n in range(20)]


def test_a_batched_objective_has_no_seed_that_batches_could_change():
    @rbt.batched
    def draws(params, data):
        return [data.rng.random() for _ in params]

    view = rbt.load_bundle("sample").view()
    outcomes = as_evaluator(draws, SPACE, "score").score(view, POINTS, list(range(20)))
    assert outcomes.status.tolist() == [1] * 20
    assert "a batched objective runs many trials at once" in outcomes.errors[0]
    assert outcomes.errors[0].count("Traceback") == 1


def test_a_partial_of_a_batched_objective_is_batched():
    assert kind_of(functools.partial(moody_batch, data=None)).takes == "configs"
    assert kind_of(functools.partial(moody, data=None)).takes == "config"


def test_partials_of_other_functions_or_arguments_are_other_objectives():
    def costly(params, data, cost):
        return cost

    def cheap(params, data, cost):
        return -cost

    given = [functools.partial(costly, cost=1), functools.partial(costly, cost=2), functools.partial(cheap, cost=1)]
    assert len({address_of(objective).fingerprint for objective in given}) == 3
    assert address_of(given[0]) == address_of(functools.partial(costly, cost=1))


def test_a_typed_objective_is_known_again_in_another_process():
    script = (
        "from rbt_ray.objectives.address import address_of\n"
        "exec(\"def typed(p, d): return p['x'] in {'alpha', 'beta', 'gamma', 'delta'}\")\n"
        "print(address_of(typed).fingerprint)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(found) == 1


def test_a_wrong_answer_is_one_sentence_and_a_users_error_keeps_its_traceback():
    def nothing(params, data):
        return None

    def wrong(params, data):
        return rbt.backtest(data, [1.0])

    view = rbt.load_bundle("sample").view()
    for objective, has_traceback in ((nothing, False), (wrong, True)):
        error = as_evaluator(objective, SPACE, "score").score(view, POINTS[:1], [0]).errors[0]
        assert ("Traceback" in error) == has_traceback
        assert (", in wrong" in error) == has_traceback
    assert "rbt.backtest(data, [1.0])" in error
