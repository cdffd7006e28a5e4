"""Brackets in progress: the oldest that has something to evaluate comes first, however many are open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbt_ray.search import hyperband
from rbt_ray.search.hyperband import Hyperband, SuccessiveHalving

LADDERS = {n: tuple(3.0 ** (k - n) for k in range(1, n + 1)) for n in (1, 2, 4)}


class Driver:
    """Drives a race: asks for a step, or finishes an evaluation in progress with a random loss."""

    def __init__(self, scheduler, n_rungs):
        self.race, self.running, self.n_slots = scheduler.race(LADDERS[n_rungs], 3), [], 0

    def ask(self):
        step = self.race.next()
        if step is not None:
            slot = step.slot
            if slot is None:
                slot, self.n_slots = self.n_slots, self.n_slots + 1
                self.race.enter(slot, step)
            self.running.append((slot, step.rung))
        return step

    def finish(self, at, loss):
        slot, rung = self.running.pop(at % len(self.running))
        self.race.finish(slot, rung, loss if loss > 0.1 else None, fatal=loss < 0.05)


def oldest_open(race):
    """Returns the first step by trying every open bracket, the oldest first; None if a new bracket starts."""
    for bracket in race._open.values():
        if (step := bracket.next()) is not None:
            if step.slot is not None:  # give it back
                bracket._waiting.appendleft(step.slot)
                bracket._under_way.remove(step.slot)
            return step
    return None


@pytest.mark.parametrize("scheduler", [Hyperband(), SuccessiveHalving()], ids=["hyperband", "successive_halving"])
@given(
    st.sampled_from(sorted(LADDERS)),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 500), st.floats(0, 1)), max_size=400),
    st.integers(0, 400),
)
def test_the_oldest_bracket_with_a_step_comes_first(scheduler, n_rungs, events, closes_at):
    driver = Driver(scheduler, n_rungs)
    for number, (kind, at, loss) in enumerate(events):
        if number == closes_at:
            driver.race.close()
        if kind and driver.running:
            driver.finish(at, loss)
            continue
        expected = oldest_open(driver.race)
        found = driver.ask()
        if expected is not None:
            assert found == expected
        else:
            assert (found is None) == (number >= closes_at)


def test_a_step_tries_few_brackets_however_many_are_open(monkeypatch):
    tried = []
    next_step = hyperband._Bracket.next
    monkeypatch.setattr(hyperband._Bracket, "next", lambda self: tried.append(self) or next_step(self))
    driver = Driver(Hyperband(), 1)
    for _ in range(2000):
        driver.ask()
    for _ in range(500):
        driver.finish(0, 0.5)
        driver.ask()
    assert len(tried) <= 3 * 2500
