"""Runs a study's search on prices whose bars are in random order."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from rbt_ray.analysis.permutation import PermutationTest
from rbt_ray.data.surrogates import permuted_bars
from rbt_ray.errors import SettingError
from rbt_ray.store.table import TrialTable
from rbt_ray.study.study import BundleId, Study
from rbt_ray.study.trials import nested_seed
from rbt_ray.tuner.nested import NestedStudies
from rbt_ray.types import is_integer

FOLDER = "permutations"
"""The folder, in a study's, of its permutation test; each random order has a study of its own there."""


def check_permutations(study: Study, n: Any) -> int:
    """Returns the number of random orders.

    Raises:
        SettingError: the study has no prices that can be permuted, or `n` is not a whole number of at least 1.
    """
    if study.bundle is None:
        raise SettingError("a permutation test needs a study with a `bundle`, whose bars it permutes.")
    if not is_integer(n) or not 1 <= n < 10_000:
        raise SettingError(f"`n` is a number of random orders, from 1 to 9,999; got {n!r}.")
    return int(n)


def permutation_test(
    table: TrialTable, objective: Any, n: int, nested: NestedStudies, *, verbose: int
) -> PermutationTest | None:
    """Runs the whole search `n` times, each time on another random order; None if interrupted.

    Prior results of a `warm_start` are left out: they are of the prices in their own order.

    Args:
        table: the trials of the study.
        objective: of the study.
        n: the number of random orders.
        nested: runs the studies.
        verbose: 1 prints each result on stderr.
    """
    study = table.study
    best = _best(table)
    null: list[float] = []
    for number in range(n):
        name, permuted = f"{FOLDER}/{number:04d}", _definition(study, number)
        found = nested.finished(name, permuted)
        if found is None:
            assert study.bundle is not None
            bundle = permuted_bars(nested.bundle, study.bundle.train_bars, permuted.seed)
            identity = BundleId(None, bundle.version, bundle.n_bars, bundle.n_bars)
            permuted = replace(permuted, bundle=identity)
            found = nested.table_of(name, permuted, objective, search_alg=nested.new_search(), bundle=bundle)
        if found is None:
            return None
        null.append(_best(found))
        if verbose:
            print(
                f"permutation {number + 1} of {n}: best {study.metric} {null[-1]:.4g} (on the prices: {best:.4g})",
                file=sys.stderr,
                flush=True,
            )
    return PermutationTest(study.metric, study.mode, best, np.array(null))


def _definition(study: Study, number: int) -> Study:
    return replace(
        study,
        name=f"permutation-{number:04d}",
        seed=nested_seed(study.seed, "permut", number),
        recheck=0,
        benchmark=None,
        validation=None,
        warm_start=(),
        points_to_evaluate=study.points_to_evaluate[: -1 if study.warm_start else None],
        why="",
    )


def _best(table: TrialTable) -> float:
    rows = table.ranking(1)
    return float(table.numbers(table.study.metric)[rows[0]]) if len(rows) else np.nan
