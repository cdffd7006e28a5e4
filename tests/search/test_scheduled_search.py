"""A sampler and a scheduler make a searcher: what is proposed where, what the sampler is told, what is decided."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray.columns import Outcomes, Results
from rbt_ray.search.fixed_sequence import SequenceSampler
from rbt_ray.search.random_draws import RandomSearch
from rbt_ray.search.scheduled_search import ScheduledSearch
from rbt_ray.search.scheduler import ladder_from
from rbt_ray.search.searcher import Searcher
from rbt_ray.study.space import Space
from rbt_ray.types import COMPLETED, CRASHED, FAILED

SPACE = Space.of({"a": rbt.uniform(0, 1), "b": rbt.randint(0, 1000)})
LADDER = ladder_from(1 / 9, 3)


class Recording(SequenceSampler):
    """Records the results that it receives."""

    def __init__(self, space, seed=0):
        super().__init__(RandomSearch(space, seed=seed))
        self.told = []

    def learn(self, point, fidelity, loss):
        self.told.append((point.tobytes(), fidelity, loss))


def search(scheduler=rbt.Hyperband(), space=SPACE, **options):  # noqa: B008 - frozen
    sampler = Recording(space)
    return ScheduledSearch(space, sampler, scheduler, LADDER, 3, **options), sampler


def losses_of(proposals, sign=1.0):
    return sign * proposals.points[:, 0]


def results_of(proposals, loss, status=None):
    n = len(proposals)
    status = np.where(np.isnan(loss), FAILED, COMPLETED).astype(np.uint8) if status is None else status
    return Results(np.arange(n), proposals, Outcomes(status, {}, {}, np.zeros(n)), loss, ["w"] * n)


def run(searcher, pending=8, seed=0, loss=losses_of):
    """Everything that is proposed, in order, results coming back in an order of chance."""
    rng = np.random.default_rng(seed)
    proposed, waiting = [], []
    while not searcher.done:
        while len(waiting) < pending and len(proposals := searcher.ask(1)):
            proposed += list(proposals)
            waiting.append(results_of(proposals, loss(proposals)))
        searcher.tell(waiting.pop(int(rng.integers(len(waiting)))))
    assert not waiting
    return proposed


def test_it_is_a_searcher():
    assert isinstance(search()[0], Searcher)


@settings(max_examples=25, deadline=None)
@given(
    scheduler=st.sampled_from([rbt.Hyperband(), rbt.SuccessiveHalving(), rbt.ASHA(), rbt.ASHA("stopping")]),
    limit=st.integers(1, 80),
    n_calibration=st.sampled_from([0, 4, 8]),
    after=st.sampled_from([1, 9, 25]),
    pending=st.sampled_from([1, 3, 64]),
    continues=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_any_order_of_results_ends_in_done_with_so_many_configs(
    scheduler, limit, n_calibration, after, pending, continues, seed
):
    searcher, _ = search(
        scheduler, limit=limit, n_calibration=n_calibration, calibrate_after=after, continues=continues
    )
    proposed = run(searcher, pending, seed)
    assert len({repr(proposal.config) for proposal in proposed}) == limit
    assert {proposal.fidelity for proposal in proposed} <= set(LADDER)
    assert len(searcher.ask(5)) == 0
    assert any(proposal.fidelity == 1 for proposal in proposed)


def test_asking_in_blocks_gives_the_same_proposals_as_one_by_one():
    one, _ = search(limit=40)
    block, _ = search(limit=40)
    singly = [one.ask(1) for _ in range(33)]
    together = block.ask(33)
    assert [proposal for proposals in singly for proposal in proposals] == list(together)


def test_a_tag_names_bracket_rung_and_config():
    searcher, _ = search(limit=30)
    first = {}
    for proposal in run(searcher):
        _, rung, slot = proposal.tag
        assert LADDER[rung] == proposal.fidelity
        assert first.setdefault(slot, proposal.config) == proposal.config
    assert sorted(first) == list(range(30))


def test_the_sampler_learns_every_result_once_at_its_fidelity():
    searcher, sampler = search(limit=30)
    proposed = run(searcher)
    told = [(point, fidelity) for point, fidelity, _ in sampler.told]
    encoded = [(SPACE.encode([proposal.config]).tobytes(), proposal.fidelity) for proposal in proposed]
    assert sorted(told) == sorted(encoded)
    assert len(set(told)) == len(told)


def test_the_best_of_a_bracket_get_to_full_fidelity():
    searcher, _ = search(limit=9)
    proposed = run(searcher, pending=1)
    first_bracket = [proposal for proposal in proposed if proposal.tag[0] == 0]
    best = min(proposal.config["a"] for proposal in first_bracket)
    assert [proposal.config["a"] for proposal in first_bracket if proposal.fidelity == 1] == [best]


def test_given_points_come_first_and_count():
    given_points = [{"a": 0.5, "b": 1}, {"a": 0.25, "b": 2}]
    searcher, _ = search(limit=12, points_to_evaluate=given_points)
    proposed = run(searcher)
    configs = list({proposal.tag[2]: proposal.config for proposal in proposed}.values())
    assert configs[:2] == given_points
    assert len(configs) == 12


def test_given_points_are_proposed_once_even_if_the_sampler_draws_them():
    small = Space.of({"a": rbt.randint(0, 10)})
    searcher, _ = search(space=small, points_to_evaluate=[{"a": 3}, {"a": 3}, {"a": 4}])
    configs = {proposal.tag[2]: proposal.config["a"] for proposal in run(searcher)}
    assert sorted(configs.values()) == list(range(10))
    assert [configs[0], configs[1]] == [3, 4]


@pytest.mark.parametrize(("scheduler", "first"), [(rbt.Hyperband(), 9), (rbt.ASHA(), 3), (rbt.MedianStopping(), 1)])
def test_the_scheduler_of_the_user_climbs_from_the_start(scheduler, first):
    """Before the calibration too: ASHA promotes as soon as three are there, Hyperband when all nine are."""
    searcher, _ = search(scheduler, limit=60, n_calibration=8, calibrate_after=9)
    proposed = run(searcher, pending=1)
    assert next(at for at, proposal in enumerate(proposed) if proposal.tag[1] == 1) == first


def test_a_space_that_is_used_up_ends_the_search():
    small = Space.of({"a": rbt.choice([1, 2, 3, 4, 5])})
    searcher, _ = search(space=small, limit=100)
    assert len({repr(proposal.config) for proposal in run(searcher)}) == 5


def test_failures_are_the_worst_and_crashes_go_no_further():
    searcher, sampler = search(limit=9)
    proposals = searcher.ask(9)
    loss = np.full(9, np.nan)
    loss[3] = 5.0
    status = np.full(9, FAILED, np.uint8)
    status[3], status[:3] = COMPLETED, CRASHED
    searcher.tell(results_of(proposals, loss, status))
    assert np.isnan([loss for *_, loss in sampler.told]).sum() == 8
    promoted = [proposal.tag[2] for proposal in searcher.ask(99) if proposal.tag[1] == 1 and proposal.tag[0] == 0]
    assert promoted == [3, 4, 5]  # of those that merely failed, the first


def reversed_below(fidelity):
    """Lower fidelities than this rank the other way round."""
    return lambda proposals: losses_of(proposals, np.where(proposals.fidelity < fidelity * 0.99, -1.0, 1.0))


@pytest.mark.parametrize(("honest_from", "lowest"), [(1 / 9, 1 / 9), (1 / 3, 1 / 3), (1.0, 1.0)])
@pytest.mark.parametrize("continues", [True, False])
def test_misleading_fidelities_are_detected_and_avoided(honest_from, lowest, continues):
    searcher, _ = search(limit=60, n_calibration=8, calibrate_after=9, continues=continues)
    proposed = run(searcher, loss=reversed_below(honest_from))
    after = [proposal for proposal in proposed if proposal.tag[2] >= 9 + 8]  # a bracket of nine, then the calibration
    assert min(proposal.fidelity for proposal in after) == pytest.approx(lowest)
    assert len(searcher.notes) == 1
    assert ("full fidelity." in searcher.notes[0]) == (lowest == 1)
    calibrating = [proposal for proposal in proposed if 9 <= proposal.tag[2] < 9 + 8]
    assert len(calibrating) == 8 * len(LADDER)


def test_lists_of_results_give_the_same_proposals_as_columns():
    columns, _ = search(limit=20)
    plain, _ = search(limit=20)
    while not columns.done:
        proposals, same = columns.ask(4), plain.ask(4)
        assert list(proposals) == list(same)
        columns.tell(results_of(proposals, losses_of(proposals)))
        plain.tell(list(results_of(same, losses_of(same))))
    assert plain.done
