"""Ladders and brackets, driven beside hpbandster's own."""

import itertools
import logging
import math

import ConfigSpace
import numpy as np
import pytest

from rbt_ray.search.hyperband import Hyperband
from rbt_ray.search.scheduler import bracket_sizes, halvings, ladder_from


@pytest.fixture
def hpbandster_hyperband(monkeypatch):
    """hpbandster's Hyperband for budgets from 1 to `most`, without the servers that its base class starts."""
    from hpbandster.core.master import Master
    from hpbandster.optimizers.hyperband import HyperBand

    def offline(self, config_generator, **_):
        self.config_generator, self.config = config_generator, {}

    monkeypatch.setattr(Master, "__init__", offline)
    space = ConfigSpace.ConfigurationSpace({"x": (0.0, 1.0)}, seed=1)
    return lambda most, eta: HyperBand(space, eta=eta, min_budget=1, max_budget=most)


CASES = [(9, 3), (27, 3), (81, 3), (16, 2), (64, 4), (100, 3), (5, 2), (1, 3), (1000, 5)]


@pytest.mark.parametrize(("most", "eta"), CASES)
def test_rungs_and_sizes_are_hpbandsters(hpbandster_hyperband, most, eta):
    theirs = hpbandster_hyperband(most, eta)
    ladder = ladder_from(1 / most, eta)
    np.testing.assert_allclose(np.array(ladder) * most, theirs.budgets, rtol=1e-12)
    for bracket in range(2 * len(ladder) + 1):
        assert list(bracket_sizes(len(ladder), bracket, eta)) == theirs.get_next_iteration(bracket).num_configs


def test_a_power_of_eta_counts_as_one_where_hpbandster_cuts_it_off(hpbandster_hyperband):
    assert len(hpbandster_hyperband(243, 3).budgets) == 5
    assert ladder_from(1 / 243, 3) == tuple(3.0**-k for k in (5, 4, 3, 2, 1, 0))


@pytest.mark.parametrize(("most", "eta"), [(27, 3), (16, 2), (9, 3)])
def test_the_whole_course_of_a_round_is_hpbandsters(hpbandster_hyperband, most, eta):
    """One at a time, with the same losses: the same configs on the same budgets in the same order."""
    from hpbandster.core.dispatcher import Job

    theirs, ladder = hpbandster_hyperband(most, eta), ladder_from(1 / most, eta)
    ours = Hyperband().race(ladder, eta)
    rng = np.random.default_rng(3)
    slots = itertools.count()
    for number in range(len(ladder)):
        bracket = theirs.get_next_iteration(number, {"logger": logging.getLogger("hpbandster")})
        home = {}
        while (run := bracket.get_next_run()) is not None:
            config_id, config, budget = run
            step = ours.next()
            slot = step.slot
            if slot is None:
                slot = next(slots)
                ours.enter(slot, step)
            assert home.setdefault(config_id, slot) == slot
            assert ladder[step.rung] * most == pytest.approx(budget)
            loss = float(rng.random())
            ours.finish(slot, step.rung, loss, fatal=False)
            job = Job(config_id, config=config, budget=budget)
            job.result = {"loss": loss, "info": None}
            bracket.register_result(job)


@pytest.mark.parametrize("eta", [2, 2.5, 3, 4])
@pytest.mark.parametrize("lowest", [1.0, 0.5, 1 / 27, 0.04, 1 / 243])
def test_a_ladder_ends_at_1_and_its_rungs_are_eta_apart(lowest, eta):
    ladder = ladder_from(lowest, eta)
    assert ladder[-1] == 1.0
    assert all(math.isclose(above / below, eta) for below, above in itertools.pairwise(ladder))
    assert ladder[0] >= lowest * (1 - 1e-9)
    assert ladder[0] / eta < lowest


def test_every_rung_promotes_at_least_one_config():
    assert halvings(10, 3, 3) == (10, 3, 1, 1)
    assert halvings(1, 2, 3) == (1, 1, 1)
