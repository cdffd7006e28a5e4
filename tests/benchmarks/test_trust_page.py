"""The page of simulated verdicts: what counts in which share."""

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest

from benchmarks import trust
from benchmarks.trust_page import page, rate, wilson

DECISIONS = Path(__file__).parents[2] / "docs" / "decisions"


def study(word, luck, pbo):
    return {"word": word, "luck": luck, "pbo": pbo, "band": [0.3, 0.7], "unseen": "pass", "dsr": None, "sharpe": 1.0}


def test_a_study_with_too_little_to_judge_by_does_not_hold_up_and_has_no_figures():
    studies = [
        study("HOLDS UP SO FAR", 0.01, 0.1),
        study("NOT SHOWN", 0.04, 0.5),
        study("LUCK EXPLAINS IT", 0.6, 0.6),
        {"word": "TOO LITTLE TO SAY", "sentence": "The returns of the best trial are constant."},
    ]
    results = {"bohb": {"studies": studies, "code": "abc", "date": "2026-11-30"}, "machine": trust.machine(["numpy"])}
    [row] = [line for line in page(results, trust.__doc__).splitlines() if "BOHB search" in line]
    quarter, half, third, none = rate([1, 0, 0, 0]), rate([1, 1, 0, 0]), rate([1, 1, 0]), rate([0, 0, 0])
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == ["4", quarter, half, quarter, "1", third, none]


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (15, 300), (300, 300)])
def test_the_interval_is_wilsons(hits, n):
    assert wilson(hits, n) == pytest.approx(binomtest(hits, n).proportion_ci(method="wilson"), abs=1e-12)


def test_the_page_is_that_of_its_data():
    assert (DECISIONS / "trust.md").read_text() == page(
        json.loads((DECISIONS / "trust.json").read_text()), trust.__doc__
    )
