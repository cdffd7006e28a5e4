"""A search that gets its results in blocks proposes what it proposes if it gets them one by one."""

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.engine.frontier import Frontier
from rbt_ray.metric_columns import Column
from rbt_ray.objectives.address import address_of
from rbt_ray.search.registry import make_searcher
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.store.journal import Finished
from rbt_ray.study.goals import Goal
from rbt_ray.study.limits import Limits
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study
from rbt_ray.types import COMPLETED, CRASHED, FAILED

SPACE = Space.of({"x": rbt.uniform(0, 1), "n": rbt.randint(0, 1000), "kind": rbt.choice(["a", "b"])})
REPORTS = {"fidelity": "reports", "max_reports": 9, "lowest_fidelity": 1 / 9}
STUDIES = {
    "the default number of open trials": {"max_pending": None},
    "more open trials than a block of proposals": {"max_pending": 150, "most_results": 64},
    "a sampler that does not learn, with ASHA": {"search_alg": "random", "scheduler": {"name": "asha"}, **REPORTS},
    "Hyperband over three rungs": {"scheduler": {"name": "hyperband"}, **REPORTS},
    "an extended study": {"phases": (Limits(90, None),)},
    "in the order of arrival": {"deterministic": False},
    "constraints on metrics": {"constraints": ("y <= 0.9",)},
    "two metrics": {"further_goals": (Goal("y", "max"),)},
}


class OneByOne:
    """Hides that a search takes blocks."""

    def __init__(self, search):
        self._search = search
        self.ask, self.tell, self.extend, self.n_first = search.ask, search.tell, search.extend, search.n_first

    @property
    def done(self):
        return self._search.done


def study_of(**given):
    return Study(
        **{
            **{"name": "s", "space": SPACE, "metric": "score", "mode": "min", "search_alg": "bohb", "num_samples": 240},
            **{"seed": 7, "max_pending": 24, "deterministic": True, "objective": address_of(study_of), **given},
        }
    )


def finished(study, trials, points, fidelity):
    status = np.where(trials % 11 == 3, FAILED, np.where(trials % 29 == 5, CRASHED, COMPLETED)).astype(np.uint8)
    there = status == COMPLETED
    score = np.abs(points[:, 0] - 0.3) + points[:, 1] / 2000 + points[:, 2] * fidelity
    metrics = {"score": Column("float", score, there), "y": Column("float", points[:, 0] + fidelity / 9, there)}
    errors = dict.fromkeys(np.flatnonzero(~there).tolist(), "why")
    return Finished(trials, points, fidelity, Outcomes(status, metrics, errors, np.zeros(len(trials))), "w", 0, 0, 0)


def played(study, searcher):
    """The events of all proposals, and how many results arrived before each; batches of any size arrive in any order."""
    rng, frontier = np.random.default_rng(4), Frontier(study, searcher)
    waiting, events = [], []
    for arrived in range(10**6):
        for batch in frontier.advance():
            events.append((arrived, batch.to_event()))
            rows = [(batch.first + row, batch.points[row], float(batch.fidelity[row])) for row in range(len(batch))]
            waiting += rows
        if frontier.done:
            return events
        fidelity = waiting[int(rng.integers(len(waiting)))][2]
        alike = [row for row in waiting if row[2] == fidelity]
        most = int(rng.integers(1, 20))
        came = [alike[at] for at in rng.permutation(len(alike))[:most]]
        waiting = [row for row in waiting if not any(row[0] == one[0] for one in came)]
        trials, points = np.array([row[0] for row in came]), np.array([row[1] for row in came])
        frontier.finish(finished(study, trials, points, fidelity))
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("given", STUDIES.values(), ids=STUDIES)
def test_blocks_give_the_same_proposals_at_the_same_times(given):
    study = study_of(**given)
    search = make_searcher(study)
    assert isinstance(search, ScheduledSearch)
    events = played(study, search)
    assert sum(event.n for _, event in events) >= 240
    assert events == played(study, OneByOne(make_searcher(study)))
