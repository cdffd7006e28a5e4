"""The figures of the live page are those of the table that all other readers build."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbt_ray.columns import Outcomes
from rbt_ray.live.figures import MOST_CAUSES, MOST_STEPS, Figures
from rbt_ray.live.shown import shown
from rbt_ray.metric_columns import Column
from rbt_ray.store import trust
from rbt_ray.store.journal import Distrusted, Ended, Finished
from rbt_ray.store.table import table_of
from rbt_ray.study.space import Space, randint
from rbt_ray.study.study import Address, Study
from rbt_ray.types import COMPLETED


def study_of(mode="max", constraints=()):
    return Study(
        name="mine",
        space=Space.of({"x": randint(0, 1000)}),
        metric="gain",
        mode=mode,
        search_alg="random",
        num_samples=500,
        seed=7,
        max_pending=None,
        deterministic=True,
        objective=Address("mine:objective", {}, "", "f" * 64),
        constraints=constraints,
    )


def batch(first, values, fidelity=1.0, *, numbers=None, started=0.0, errors="ValueError: no"):
    """A batch of trials; None is a failed one."""
    n = len(values)
    present = np.array([value is not None for value in values])
    numbers = np.arange(first, first + n) if numbers is None else np.asarray(numbers)
    status = np.where(present, 0, 1).astype(np.uint8)
    outcomes = Outcomes(
        status,
        {"gain": Column("float", np.array([np.nan if value is None else value for value in values]), present)},
        dict.fromkeys(np.flatnonzero(~present).tolist(), f"Traceback\n  in it\n{errors}"),
        np.full(n, 0.5),
    )
    return Finished(numbers, numbers[:, None].astype(float), fidelity, outcomes, "w0", started, 0.1, 0.5 * n)


batches = st.lists(
    st.tuples(
        st.lists(st.one_of(st.none(), st.integers(-3, 3).map(float)), min_size=1, max_size=6),
        st.sampled_from([1.0, 1.0, 0.25]),
    ),
    max_size=12,
)


@given(batches, st.sampled_from(["min", "max"]), st.sampled_from([(), ("gain >= -1",)]), st.randoms())
def test_the_counts_and_the_best_are_those_of_the_table(found, mode, constraints, random):
    study, first, events = study_of(mode, constraints), 0, []
    for values, fidelity in found:
        events.append(batch(first, values, fidelity))
        first += len(values)
    random.shuffle(events)  # batches finish in any order
    figures = Figures(study)
    for event in events:
        figures.add(event)
    table = table_of(events, study)
    assert figures.n_done == len(table)
    assert figures.n_by_status.tolist() == np.bincount(table.outcomes.status, minlength=4).tolist()
    assert sum(figures.causes.values()) == int((table.outcomes.status != COMPLETED).sum())
    assert figures.n_infeasible == int((~table.is_feasible).sum())
    best = table.ranking(1)
    if not len(best):
        assert figures.best is None
        return
    row = int(best[0])
    assert figures.best.trial == table.trials[row]
    assert figures.best.config == {"x": int(table.trials[row])}
    assert figures.best.metrics == {"gain": table.numbers("gain")[row]}
    steps = [value for _, value in figures.steps]
    assert steps == sorted(set(steps), reverse=mode == "min")
    assert steps[-1] == table.numbers("gain")[row]


def test_a_step_is_at_the_trial_that_improved():
    figures = Figures(study_of())
    figures.add(batch(0, [1.0, None, 3.0, 2.0, 5.0]))
    figures.add(batch(5, [9.0], 0.5))
    figures.add(batch(6, [4.0, 6.0]))
    assert figures.steps == [(1, 1.0), (3, 3.0), (5, 5.0), (8, 6.0)]
    assert shown(figures, is_running=True)["chart"][-1] == [8.0, 6.0]


def test_the_pace_is_that_of_batches_side_by_side():
    figures = Figures(study_of())
    assert figures.trials_per_s is None
    for started in (100.0, 100.0, 105.0, 105.0):  # two workers, each 10 trials in 5 s
        figures.add(batch(figures.n_done, [1.0] * 10, started=started))
    assert figures.trials_per_s == pytest.approx(4.0)
    assert shown(figures, is_running=True)["left"] == "1 min 55 s"  # 460 at 4 per second
    assert shown(figures, is_running=False)["left"] is None
    figures.add(batch(40, [1.0] * 10, started=1000.0))  # after a pause, such as another run
    assert figures.trials_per_s == pytest.approx(2.0)


def test_results_that_were_withdrawn_do_not_count():
    events = [
        batch(0, [1.0, None]),
        Ended("time_budget", 1.0, 1, "local"),
        batch(2, [9.0, None, None]),
        Ended("interrupted", 1.0, 1, "local"),
        Distrusted("the bundle"),
        batch(2, [2.0]),
    ]
    figures, study = Figures(study_of()), study_of()
    for event in events:
        figures.add(event)
    table = table_of(trust.valid_events(events), study)
    assert (figures.n_done, figures.n_withdrawn) == (len(table), 3) == (3, 3)
    assert figures.best.loss == table.loss[table.ranking(1)[0]] == -2.0
    assert figures.causes == Counter({"ValueError: no": 1})
    figures.add(Distrusted("the bundle"))
    assert (figures.n_done, figures.n_withdrawn, figures.best.loss) == (2, 4, -1.0)


def test_many_improvements_and_causes_stay_few():
    figures = Figures(study_of())
    for number in range(3 * MOST_STEPS):
        figures.add(batch(2 * number, [float(number), None], errors=f"ValueError: number {number}"))
    assert len(figures.steps) <= MOST_STEPS
    assert figures.steps[0] == (1, 0.0)
    assert figures.steps[-1][1] == 3 * MOST_STEPS - 1
    assert len(figures.causes) <= MOST_CAUSES + 1
    assert sum(figures.causes.values()) == 3 * MOST_STEPS
    causes = shown(figures, is_running=True)["causes"]
    assert sum(int(n.replace(",", "")) for _, n in causes) == 3 * MOST_STEPS
    assert causes[-1][0] == "other causes"
