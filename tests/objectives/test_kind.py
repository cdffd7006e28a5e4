"""`kind_of` resolves every kind of objective, and reads none of its data."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest

import rbt_ray as rbt
from rbt_ray.adapters import pandas as pandas_adapter
from rbt_ray.errors import ObjectiveError
from rbt_ray.objectives.kind import kind_of


def one(params, data):
    return 1.0


@rbt.batched
def many(params, data, scale=1.0):
    return [scale for _ in params]


class Columns:
    params, metrics = ("x",), ("score",)

    def evaluate(self, data, columns, metrics):
        return {"score": columns["x"]}


@dataclass(frozen=True)
class WithData:
    path: str

    @property
    def bundle(self):
        raise AssertionError("the bundle was loaded")

    @property
    def files(self):
        raise AssertionError("the files were listed")

    def open(self, folder):
        raise AssertionError("the files were opened")

    def __call__(self, params, data):
        return 1.0


BUILTIN, ADAPTED, OWN = rbt.objectives.sma_cross(), pandas_adapter.objective(one, gives="weights"), WithData("prices")


@pytest.mark.parametrize(
    ("objective", "takes", "builtin", "adapter", "provider"),
    [
        (one, "config", None, None, None),
        (many, "configs", None, None, None),
        (functools.partial(many, scale=2.0), "configs", None, None, None),
        (Columns(), "columns", None, None, None),
        (BUILTIN, "columns", BUILTIN, None, None),
        (ADAPTED, "config", None, ADAPTED, None),
        (OWN, "config", None, None, OWN),
    ],
    ids=["function", "batched", "partial of batched", "columns", "built-in", "adapter", "with data"],
)
def test_every_kind_is_resolved_without_reading_data(objective, takes, builtin, adapter, provider):
    kind = kind_of(objective)
    assert (kind.takes, kind.builtin, kind.adapter, kind.provider) == (takes, builtin, adapter, provider)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(ObjectiveError, match="got 5 of type int"):
        kind_of(5)


@pytest.mark.parametrize("name", rbt.objectives.__all__)
def test_a_function_that_makes_objectives_is_refused(name):
    with pytest.raises(
        ObjectiveError, match=rf"'{name}' makes an objective, it is none itself: pass what {name}\(\.\.\.\) ret"
    ):
        kind_of(getattr(rbt.objectives, name))


def test_the_name_of_a_built_in_objective_is_answered_with_how_to_write_it():
    with pytest.raises(
        ObjectiveError,
        match=r"got 'sma_cross' of type str\. The built-in objective is rbt\.objectives\.sma_cross\(\)\.",
    ):
        kind_of("sma_cross")
    with pytest.raises(ObjectiveError, match=r"of type str\.$"):
        kind_of("sma")
