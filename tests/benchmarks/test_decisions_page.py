"""The pages of decisions say what today's rules give to the runs that they keep."""

import copy
import json
from pathlib import Path

import pytest

from benchmarks.bohb_wall import until_equal_loss
from benchmarks.decisions.__main__ import MODULES
from benchmarks.decisions.page import decision_of, judged_again, page_of
from benchmarks.page import bohb_wall

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"


def data_of(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("name", MODULES)
def test_a_page_is_what_the_rules_make_of_its_runs(name):
    data = data_of(name)
    assert (FOLDER / f"{name}.md").read_text() == page_of(data)
    again = judged_again(data)
    assert [one["verdict"] for one in again["cases"]] == [one["verdict"] for one in data["cases"]]
    assert [one["reason"] for one in again["cases"]] == [one["reason"] for one in data["cases"]]


def accepted_case():
    data = data_of("persistent_pool")
    assert data["cases"][0]["verdict"] == "accepted"
    return {**data, "cases": copy.deepcopy(data["cases"][:1])}


def no_memory(runs):
    runs["peak_pss"] = [0] * len(runs["peak_pss"])


def computed(runs):
    runs["not_run"] = [True] * len(runs["not_run"])


def alternating(runs):
    runs["seconds"] = [value * (1 + 0.4 * (at % 2)) for at, value in enumerate(runs["seconds"])]
    runs["wall_s"] = [2 * value for value in runs["wall_s"]]


@pytest.mark.parametrize("spoilt", [no_memory, computed, alternating])
def test_a_page_of_runs_that_decide_nothing_says_so(spoilt):
    data = accepted_case()
    spoilt(data["cases"][0]["runs"]["baseline"])
    again = judged_again(data)
    assert again["cases"][0]["verdict"] == "not decided"
    text = page_of(again)
    assert "Decision: NOT DECIDED" in text
    assert "ACCEPTED\n" not in text
    assert ("no interval: carry-over" in text) == (spoilt is alternating)


@pytest.mark.parametrize(
    ("verdicts", "decision"),
    [
        (["accepted", "rejected", "not decided"], "accepted"),
        (["rejected", "rejected", "not tried"], "rejected"),
        (["rejected", "not decided"], "not decided"),
        (["not tried"], "not decided"),
    ],
)
def test_a_decision_follows_from_the_regimes_it_is_meant_for(verdicts, decision):
    cases = [{"verdict": verdict, "meant": True} for verdict in verdicts]
    assert decision_of([*cases, {"verdict": "accepted", "meant": False}]) == decision


def search(seconds, losses):
    return {"wall_s": seconds[-1], "trials": 9, "best_loss": min(losses), "seconds": seconds, "losses": losses}


def test_searches_are_compared_at_the_loss_that_all_reach():
    searches = {
        "rbt_ray": [search([0.1, 0.2, 0.3], [5.0, 3.0, 4.0]), search([0.1, 0.4], [2.0, 1.0])],
        "hpbandster's master": [search([1.0, 2.0], [3.5, 1.0]), search([3.0, 4.0], [8.0, 1.5])],
        "Ray Tune's TuneBOHB": [search([7.0, 8.0], [2.0, 2.0]), search([5.0, 6.0], [0.5, 0.4])],
    }
    assert until_equal_loss(searches) == {
        "rbt_ray": [0.2, 0.4],
        "hpbandster's master": [2.0, 4.0],
        "Ray Tune's TuneBOHB": [7.0, 5.0],
    }
    entry = {"rounds": 6, "configs": 276, "budgets": 27, "searches": searches}
    text = "\n".join(bohb_wall({"bohb_wall": entry}))
    assert "the best loss is lower than rbt_ray's in 1 of 2 repeats" in text
    assert "the worst of the last losses" in text
