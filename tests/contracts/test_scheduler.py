"""The contract of every scheduler: add a new one to `SCHEDULERS`."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.search.calibration import Calibration
from rbt_ray.search.scheduler import Scheduler, ladder_from
from rbt_ray.search.scheduler_registry import _SCHEDULERS, scheduler_class, scheduler_from_json, scheduler_to_json

SCHEDULERS = {
    "hyperband": rbt.Hyperband(),
    "successive_halving": rbt.SuccessiveHalving(),
    "asha": rbt.ASHA(),
    "asha stopping": rbt.ASHA(kind="stopping"),
    "median": rbt.MedianStopping(),
}
each = pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=SCHEDULERS)


def test_every_built_in_scheduler_is_in_the_contract():
    assert {type(scheduler) for scheduler in SCHEDULERS.values()} >= {scheduler_class(name) for name in _SCHEDULERS}


def test_the_page_and_the_docstring_list_every_built_in_scheduler():
    page = (Path(__file__).parents[2] / "docs" / "search.md").read_text()
    for name in _SCHEDULERS:
        assert f'`"{name}"' in page, name
        assert f'"{name}"' in rbt.TuneConfig.__doc__, name


class Run:
    """Runs a race to its end; results arrive in random order."""

    def __init__(self, race, n_configs, *, seed=0, pending=8, failing=0.1, fatal=0.05, loss=None):
        rng = np.random.default_rng(seed)
        self.steps, self.finished, self.fatal, self.losses = [], [], set(), {}
        slots, open_steps = itertools.count(), []
        self.n_sampled = 0
        while True:
            while len(open_steps) < pending and (step := race.next()) is not None:
                slot = step.slot
                if slot is None:
                    slot = next(slots)
                    self.n_sampled += 1
                    race.enter(slot, step)
                    if self.n_sampled == n_configs:
                        race.close()
                open_steps.append((slot, step.rung))
                self.steps.append((slot, step.rung))
            if not open_steps:
                break
            slot, rung = open_steps.pop(int(rng.integers(len(open_steps))))
            hopes = rng.random() >= fatal
            found = (
                None
                if rng.random() < failing or not hopes
                else float(rng.random() if loss is None else loss(slot, rung))
            )
            if not hopes:
                self.fatal.add((slot, rung))
            self.losses[slot, rung] = found
            self.finished.append((slot, rung))
            race.finish(slot, rung, found, fatal=not hopes)
        assert race.done


runs = settings(max_examples=30, deadline=None)
seeds, pendings, counts = st.integers(0, 10**6), st.sampled_from([1, 2, 7, 64]), st.integers(1, 90)
ladders = st.sampled_from([(1.0, 3), (1 / 3, 3), (1 / 27, 3), (1 / 8, 2), (0.1, 2.5)])


@each
def test_it_is_a_scheduler_and_its_settings_come_back_from_json(scheduler):
    assert isinstance(scheduler, Scheduler)
    assert scheduler_from_json(scheduler_to_json(scheduler)) == scheduler


@each
@runs
@given(seed=seeds, pending=pendings, n_configs=counts, rungs=ladders)
def test_every_config_is_sampled_and_climbs_rung_by_rung(scheduler, seed, pending, n_configs, rungs):
    ladder = ladder_from(*rungs)
    run = Run(scheduler.race(ladder, rungs[1]), n_configs, seed=seed, pending=pending)
    assert run.n_sampled == n_configs
    climbs = {}
    for slot, rung in run.steps:
        assert climbs.setdefault(slot, rung - 1) == rung - 1
        climbs[slot] = rung
    assert max(climbs.values()) < len(ladder)


@each
@runs
@given(seed=seeds, pending=pendings, n_configs=counts, rungs=ladders)
def test_every_step_is_proposed_once_and_finishes(scheduler, seed, pending, n_configs, rungs):
    run = Run(scheduler.race(ladder_from(*rungs), rungs[1]), n_configs, seed=seed, pending=pending)
    assert sorted(run.steps) == sorted(run.finished)
    assert len(set(run.steps)) == len(run.steps)


@each
@runs
@given(seed=seeds, pending=pendings, n_configs=counts, rungs=ladders)
def test_some_config_reaches_the_top(scheduler, seed, pending, n_configs, rungs):
    ladder = ladder_from(*rungs)
    run = Run(scheduler.race(ladder, rungs[1]), n_configs, seed=seed, pending=pending, failing=0.5, fatal=0.0)
    assert any(rung == len(ladder) - 1 for _, rung in run.steps)


@each
@runs
@given(seed=seeds, pending=pendings, n_configs=counts, rungs=ladders)
def test_a_config_that_crashed_is_not_promoted(scheduler, seed, pending, n_configs, rungs):
    run = Run(scheduler.race(ladder_from(*rungs), rungs[1]), n_configs, seed=seed, pending=pending, fatal=0.5)
    assert not {(slot, rung + 1) for slot, rung in run.fatal} & set(run.steps)


@each
def test_the_same_results_give_the_same_steps(scheduler):
    ladder = ladder_from(1 / 27, 3)
    first, again = (Run(scheduler.race(ladder, 3), 60, seed=4, pending=16) for _ in range(2))
    assert first.steps == again.steps


@each
def test_where_there_are_no_results_to_wait_for_it_never_waits(scheduler):
    """One at a time, every ask before the last gives a step: a searcher that stalls ends a study."""
    Run(scheduler.race(ladder_from(1 / 27, 3), 3), 50, pending=1, failing=0.5, fatal=0.3)


@each
def test_a_ladder_of_one_rung_is_full_fidelity_for_all(scheduler):
    assert Run(scheduler.race((1.0,), 3), 20).steps == [(slot, 0) for slot in range(20)]


@pytest.mark.parametrize("scheduler", [rbt.Hyperband(), rbt.SuccessiveHalving()])
@pytest.mark.parametrize("pending", [1, 64])
def test_brackets_send_up_the_best_of_a_rung(scheduler, pending):
    """Compares with brute force over the rungs of each bracket, for any order of arrival and any number of open brackets."""
    ladder = ladder_from(1 / 27, 3)
    race = scheduler.race(ladder, 3)
    homes = {}
    enter = race.enter
    race.enter = lambda slot, step: (homes.setdefault(step.bracket, []).append(slot), enter(slot, step))
    run = Run(race, 120, pending=pending, failing=0.0, fatal=0.0)
    for bracket, slots in homes.items():
        for rung in range(len(ladder) - 1):
            here = [slot for slot in slots if (slot, rung) in run.losses]
            up = {slot for slot in slots if (slot, rung + 1) in run.losses and slot in here}
            assert up == set(sorted(here, key=lambda slot: run.losses[slot, rung])[: len(up)]), bracket
            assert not here or len(up) == max(1, len(here) // 3)


def test_several_brackets_are_in_flight():
    race = rbt.Hyperband().race(ladder_from(1 / 27, 3), 3)
    brackets = set()
    for slot in range(64):
        step = race.next()
        race.enter(slot, step)
        brackets.add(step.bracket)
    assert brackets == {0, 1, 2, 3, 4}  # of 27, 9, 6, 4 and 27 configs


@runs
@given(seed=seeds, n_configs=counts)
def test_asha_promotes_only_configs_in_the_best_third_so_far(seed, n_configs):
    race = rbt.ASHA().race(ladder_from(1 / 9, 3), 3)
    run = Run(race, n_configs, seed=seed, pending=1, failing=0.0, fatal=0.0)
    for at, (slot, rung) in enumerate(run.steps):
        below = [run.losses[step] for step in run.steps[:at] if step[1] == rung - 1]
        n_better = sum(loss < run.losses[slot, rung - 1] for loss in below)
        samples_ran_out = not any(step[1] == 2 for step in run.steps[:at]) and all(step[1] for step in run.steps[at:])
        assert rung == 0 or n_better < int(len(below) / 3) or samples_ran_out


def test_the_median_rule_stops_the_worse_half_once_there_are_some():
    run = Run(rbt.MedianStopping(least=4).race(ladder_from(1 / 2, 2), 2), 200, failing=0.0, fatal=0.0, pending=1)
    low = [run.losses[slot, 0] for slot in range(200)]
    for slot in range(4, 200):
        assert ((slot, 1) in run.losses) == (low[slot] <= np.median(low[: slot + 1]))


def test_stopping_asha_lets_on_who_is_in_the_best_third_so_far():
    run = Run(rbt.ASHA(kind="stopping").race(ladder_from(1 / 3, 3), 3), 200, failing=0.0, fatal=0.0, pending=1)
    low = [run.losses[slot, 0] for slot in range(200)]
    for slot in range(3, 200):
        n_better = sum(loss < low[slot] for loss in low[:slot])
        assert ((slot, 1) in run.losses) == (n_better < (slot + 1) / 3)


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("noise", "kept"),
    [((0.0, 0.0), 3), ((1e3, 0.0), 2), ((0.0, 1e3), 1), ((1e3, 1e3), 1)],
    ids=["all rank alike", "the lowest does not", "the middle does not", "none does"],
)
def test_calibration_keeps_the_rungs_from_which_all_above_rank_well(at_once, noise, kept):
    ladder = ladder_from(1 / 9, 3)
    truth = np.random.default_rng(0).normal(size=12)
    # With noise a rung ranks the other way round, for which no luck of the draw is needed.
    calibration = Calibration(ladder, 12, at_once=at_once)
    Run(
        calibration, 12, failing=0.0, fatal=0.0,
        loss=lambda slot, rung: truth[slot] * (-1 if rung < 2 and noise[rung] else 1),
    )  # fmt: skip
    found, sentence = calibration.chosen_ladder()
    assert found == ladder[-kept:]
    assert "rank correlation with full fidelity, over 12 configs" in sentence


def test_calibration_without_results_keeps_full_fidelity_only():
    calibration = Calibration(ladder_from(1 / 9, 3), 5, at_once=True)
    Run(calibration, 5, failing=1.0)
    assert calibration.chosen_ladder()[0] == (1.0,)
