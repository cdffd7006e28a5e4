"""The journal returns block sums as they were written, reads journals without them, and refuses damaged ones."""

import itertools
from contextlib import closing

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray import metric_columns
from rbt_ray.block_sums import N_SUMS, BlockRows
from rbt_ray.columns import Outcomes
from rbt_ray.errors import JournalError
from rbt_ray.store.events import pack, unpack
from rbt_ray.store.journal import Ended, Evaluated, Finished, Journal
from rbt_ray.store.study_record import read_study
from rbt_ray.store.table import table_of
from rbt_ray.study.draw import AUDIT_FIRST, CAP, is_drawn, is_recorded
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, Study

N = 6
SPACE = Space.of({"x": rbt.uniform(0, 1)})
STUDY = Study("s", SPACE, "score", "max", "random", 100, seed=1, max_pending=9, deterministic=True,
              objective=Address("mine:f", {}, "", "f" * 64))  # fmt: skip


def batch(first, rows=(), *, step=1, fidelity=1.0, status=(0,) * N, best=0.0):
    trials = first + step * np.arange(N, dtype=np.int64)
    done = [code == 0 for code in status]
    metrics = metric_columns.from_rows(
        [{"score": best + t} if there else None for t, there in zip(range(N), done, strict=True)]
    )
    errors = {row: "why" for row, there in enumerate(done) if not there}
    values = np.random.default_rng(first % 1000).normal(size=(len(rows), N_SUMS))
    sums = BlockRows(np.array(rows, np.int64), values) if len(rows) else None
    outcomes = Outcomes(np.array(status, np.uint8), metrics, errors, np.full(N, 0.1), block_sums=sums)
    points = np.linspace(0.1, 0.9, N)[:, None] + first % 7 / 100
    return Finished(trials, points, fidelity, outcomes, "local-0", 1.0, 1.0, 1.0)


def again(event):
    kind, header, body = pack(event)
    return unpack(kind, header, body)


@pytest.mark.parametrize("rows", [(), (0,), (1, 4), tuple(range(N))])
@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("status", [(0,) * N, (0, 0, 1, 2, 0, 3)])
def test_block_sums_are_read_as_they_were_written(rows, step, status):
    rows = tuple(row for row in rows if status[row] == 0)
    for first in (10, AUDIT_FIRST):
        event = batch(first, rows, step=step, status=status)
        found = again(event) if first == 10 else again(Evaluated("audit", event)).batch
        assert (found.outcomes.block_sums is None) == (not rows)
        if rows:
            assert found.outcomes.block_sums.rows.tolist() == list(rows)
            np.testing.assert_array_equal(found.outcomes.block_sums.values, event.outcomes.block_sums.values)
        np.testing.assert_array_equal(found.trials, event.trials)
        assert found.outcomes.metrics["score"].to_list() == event.outcomes.metrics["score"].to_list()


def test_an_event_without_block_sums_is_what_it_was_before_there_were_any():
    assert "block_sums" not in pack(batch(0))[1]


def test_block_sums_take_at_most_400_bytes_a_trial():
    sizes = [len(pack(batch(0, rows))[2]) for rows in ((), (1, 2), tuple(range(N)))]
    assert sizes[1] - sizes[0] == 2 * (N_SUMS + 1) * 8 <= 2 * 400
    assert sizes[2] - sizes[0] == N * N_SUMS * 8


def test_only_completed_trials_at_full_fidelity_have_block_sums():
    with pytest.raises(ValueError, match="block_sums"):
        batch(0, (1,), fidelity=0.5)
    with pytest.raises(ValueError, match="block_sums"):
        batch(0, (1,), status=(0, 1, 0, 0, 0, 0))


DAMAGED = {
    "more rows than trials": {"block_sums": N + 1},
    "fewer rows than the body has": {"block_sums": 1},
    "more rows than the body has": {"block_sums": 3},
    "no number": {"block_sums": "two"},
    "a flag": {"block_sums": True},
    "below zero": {"block_sums": -1},
    "no rows": {"block_sums": 0},
    "a lower fidelity": {"fidelity": 0.5},
    "not described": {"block_sums": None},
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_header_is_refused(what):
    kind, header, body = pack(batch(0, (1, 4)))
    with pytest.raises(Exception) as caught:
        unpack(kind, {**header, **DAMAGED[what]}, body)
    assert isinstance(caught.value, (ValueError, LookupError, TypeError, JournalError))


def test_a_flag_is_no_number_of_rows():
    kind, header, body = pack(batch(0, (1,)))
    with pytest.raises(ValueError, match="block_sums"):
        unpack(kind, {**header, "block_sums": True}, body)


@pytest.mark.parametrize("seed", range(40))
def test_damaged_rows_or_sums_are_refused_or_other_numbers(seed):
    rng = np.random.default_rng(seed)
    kind, header, body = pack(batch(0, (1, 4)))
    words = np.frombuffer(body, "<i8").copy()
    at = 2 * N + rng.integers(0, 2 + 2 * N_SUMS)  # after points and durations: rows, then sums
    words[at] = rng.choice(
        [-1, 1, 6, 2**62, int(np.float64(np.nan).view(np.int64)), int(np.float64(np.inf).view(np.int64))]
    )
    try:
        found = unpack(kind, header, words.tobytes())
    except ValueError:
        return
    sums = found.outcomes.block_sums
    assert np.isfinite(sums.values).all()
    assert (np.diff(sums.rows) > 0).all()
    assert 0 <= sums.rows[0] <= sums.rows[-1] < N


@pytest.mark.parametrize("role", ["audit", "winner", "other", 3])
@pytest.mark.parametrize("first", [0, AUDIT_FIRST])
def test_the_numbers_of_trials_after_the_search_tell_their_role(role, first):
    if (role, first) == ("audit", AUDIT_FIRST):
        assert again(Evaluated(role, batch(first))).role == role
    else:
        with pytest.raises(ValueError, match=r"role|trials"):
            Evaluated(role, batch(first))


def written(folder, events):
    folder.mkdir(exist_ok=True)
    with closing(Journal.create(folder, STUDY.to_json())) as journal:
        for event in events:
            journal.append(event)
    return read_study(folder, STUDY)


def test_tables_join_block_sums_in_trial_order_and_their_hash_leaves_them_out(tmp_path):
    with_sums = written(tmp_path, [batch(6, (0, 5)), batch(0, (2,))])
    assert with_sums.table.outcomes.block_sums.rows.tolist() == [2, 6, 11]
    assert with_sums.table.hash() == table_of([batch(6), batch(0)], STUDY).hash()


def test_the_table_and_its_hash_leave_out_what_was_evaluated_after_the_search(tmp_path):
    audit = batch(AUDIT_FIRST, (0, 1))
    record = written(tmp_path, [batch(0, (2,)), Evaluated("audit", audit), Ended("done", 1.0, 1, "local")])
    assert len(record) == N
    assert record.table.hash() == table_of([batch(0)], STUDY).hash()
    assert record.audit.trials.tolist() == list(range(N))
    assert record.audit.cost == N
    assert record.audit_sums().trials.tolist() == [AUDIT_FIRST, AUDIT_FIRST + 1]


def test_an_extended_search_drops_what_was_evaluated_before(tmp_path):
    first = [batch(0, (2,)), Evaluated("audit", batch(AUDIT_FIRST, (0,)))]
    assert written(tmp_path / "a", first).audit is not None
    extended = written(tmp_path / "b", [*first, batch(6, (1,))])
    assert extended.audit is None
    assert extended.audit_sums() is None
    again = written(tmp_path / "c", [*first, batch(6, (1,)), Evaluated("audit", batch(AUDIT_FIRST + 7, (3,)))])
    assert again.audit.trials.tolist() == list(range(7, 7 + N))


def test_the_winner_that_is_not_drawn_has_its_sums_from_after_the_search(tmp_path):
    winner = batch(0, (5,))
    only = _single(winner)
    assert again(Evaluated("winner", only)).role == "winner"
    record = written(tmp_path, [batch(0, (0, 2)), Evaluated("winner", only)])
    sums = record.block_sums()
    assert sums.trials.tolist() == [0, 2, 5]
    np.testing.assert_array_equal(sums.rows()[2], winner.outcomes.block_sums.values[0])


def _single(winner):
    return Finished(
        winner.trials[5:], winner.points[5:], 1.0,
        Outcomes(np.zeros(1, np.uint8), metric_columns.from_rows([{"score": 5.0}]), {}, np.ones(1),
                 block_sums=BlockRows(np.zeros(1, np.int64), winner.outcomes.block_sums.values)),
        "local-0", 1.0, 1.0, 1.0,
    )  # fmt: skip


LENGTHS = (100, 2_500, CAP, CAP + 1, 50_000, 120_000, 300_000)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("planned", [0, 0.5, 1, 3, 1e6])
def test_what_is_recorded_contains_the_sample_of_a_study_of_any_length(n, planned):
    """Also if the study ends before or after the planned number of trials."""
    trials, n_planned = np.arange(n), int(n * planned)
    recorded, drawn = is_recorded(7, trials, n_planned), is_drawn(7, trials, n, n_planned)
    assert recorded[drawn].all()
    assert drawn.sum() <= CAP
    expected = max(min(n, CAP) / max(1, planned), min(n, 2_000))
    assert drawn.sum() > min(n, expected) - 6 * expected**0.5
    # By lot: each tenth of the trials has its share.
    tenths = np.add.reduceat(drawn, np.arange(10) * n // 10)
    assert np.abs(tenths - drawn.mean() * n / 10).max() <= 5 * (n / 10) ** 0.5
    if planned >= 1 and n > 40_000:
        assert (recorded.sum() - CAP) * 8 * 49 < 60 * (n - CAP)
    # In any batches.
    np.testing.assert_array_equal(is_recorded(7, trials[n // 3 :], n_planned), recorded[n // 3 :])


@pytest.mark.parametrize("planned", [0, 1])
def test_an_extended_study_draws_from_the_same_lots(planned):
    samples = [set(np.flatnonzero(is_drawn(7, np.arange(n), n, n * planned)).tolist()) for n in LENGTHS]
    for n, (shorter, longer) in zip(LENGTHS, itertools.pairwise(samples), strict=False):
        assert {trial for trial in longer if trial < n} <= shorter
