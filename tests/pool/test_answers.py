"""Any message from a worker becomes an event that the journal returns unchanged, or a lost batch."""

import pickle
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rbt_ray as rbt
from rbt_ray import metric_columns, recordable
from rbt_ray.columns import Outcomes
from rbt_ray.metric_columns import Column
from rbt_ray.objectives.review import Review
from rbt_ray.pool.pool import Batch, Job, Returned, received
from rbt_ray.store.journal import Finished, Journal, Reviewed
from rbt_ray.store.table import table_of
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, Study
from rbt_ray.types import FAILED, STATUSES, Checkpoint

N = 3
SPACE = Space.of({"x": rbt.uniform(0, 1)})
ADDRESS = Address("mine:f", {}, "", "f" * 64)
STUDY = Study("s", SPACE, "score", "max", "random", N, seed=1, max_pending=N, deterministic=True, objective=ADDRESS)
POINTS = np.linspace(0.1, 0.9, N)[:, None]


class LikeText(str):
    """A string whose comparison disagrees with its content."""

    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


class LikeNumber(float):
    """A float whose conversion fails."""

    def __float__(self):
        raise ZeroDivisionError


class LikeArray(np.ndarray):
    """An array of a subclass."""


NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.5, -1.0, np.nan, np.inf, -np.inf, 1e300, 5e9, 4_102_444_801.0, LikeNumber(1.0)]),
    st.sampled_from([0, 1, -1, 2**31, 2**53 + 1, 2**63, -(2**70), 10**308, 10**309, 10**5000, True, False]),
    st.sampled_from([np.float32(0.1), np.float64(1e300), np.float16(2.0), np.int64(-1), np.bool_(True), np.uint8(3)]),
    st.floats(),
    st.integers(),
)
TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "\0", "a\0b", "\ud800", "\ud83d\ude00", "\udc80tail", "\U0001f600", "\x1b[31m", "\u2028"]
    ),
    st.sampled_from(["score", "trial_id", "worker", "config/x", "x", "null", "NaN", LikeText("score"), "y" * 200_000]),
    st.text(st.characters(), max_size=6),
    st.text(st.characters(categories=["Cs", "Ll"]), max_size=4),
)
OTHERS = st.sampled_from(
    [None, b"", (), [], {}, [[1]], {"a": {"b": 1}}, {1: 2}, object(), 1j, np.zeros(3), Returned, {1}]
)
VALUES = st.one_of(NUMBERS, TEXTS, OTHERS)


def mostly(usual, *others):
    """Nine times in ten the usual; `one_of` would give each of what it is made of the same share."""
    return st.integers(0, 9).flatmap(lambda at: usual if at else st.one_of(*others))


LENGTHS = mostly(st.just(N), st.sampled_from([0, 1, N + 1]))
DTYPES = [
    "f8",
    ">f8",
    "f4",
    "f2",
    "g",
    "i8",
    ">i8",
    "i4",
    "u1",
    "u8",
    "?",
    "O",
    "U3",
    "S3",
    "c16",
    "M8[s]",
    "m8[s]",
    "V4",
]


def arrays(*dtypes):
    """Arrays of the wanted types, mostly; sometimes of any type, length, rank and class."""

    def make(dtype, n, values, shape):
        array = np.zeros(n, dtype)
        if array.dtype.kind in "fiu?O":
            with np.errstate(all="ignore"):
                for row, value in zip(range(n), values, strict=False):
                    try:
                        array[row] = value
                    except (ValueError, OverflowError, TypeError, ZeroDivisionError):
                        continue
        return {"plain": array, "matrix": array[:, None], "view": array.view(LikeArray), "list": list(array)}[shape]

    kinds = mostly(st.sampled_from(dtypes), st.sampled_from(DTYPES))
    shapes = mostly(st.just("plain"), st.sampled_from(["matrix", "view", "list"]))
    return st.builds(make, kinds, LENGTHS, st.lists(VALUES, max_size=N), shapes)


PLAIN = st.one_of(
    st.floats(), st.integers(-(2**70), 2**70), st.booleans(), st.text(st.characters(), max_size=3), st.none()
)


def honest(values):
    """Returns a column as a worker creates it."""
    return Column.of(values, np.array([value is not ... for value in values]))


COLUMNS = mostly(
    st.lists(mostly(PLAIN, st.just(...)), min_size=N, max_size=N).map(honest),
    st.builds(
        Column,
        mostly(st.sampled_from(["json", "float", "int", "bool"]), st.sampled_from(["other", None])),
        arrays("O", "f8", "i8", "?"),
        arrays("?"),
    ),
    OTHERS,
)
ROWS = mostly(st.integers(0, N - 1), st.sampled_from([-1, N, True, 1.0, "0", None, np.int64(1)]))
NAMES = mostly(st.text(st.characters(), max_size=3), TEXTS, NUMBERS)
CHECKPOINTS = st.builds(Checkpoint, mostly(st.integers(0, 9), NUMBERS), mostly(st.binary(max_size=3), VALUES))


def dicts(keys, values):
    return mostly(st.dictionaries(keys, values, max_size=4), st.lists(st.tuples(keys, values), max_size=1), OTHERS)


@st.composite
def outcomes(draw):
    codes = draw(st.lists(st.sampled_from([0, 0, 0, 1]), min_size=N, max_size=N))
    score = Column("float", np.linspace(-1.0, 1.0, N), np.array([code == 0 for code in codes]))
    found = Outcomes(
        status=np.array(codes, np.uint8),
        metrics={"score": score},
        errors={row: draw(st.just("why") | TEXTS) for row, code in enumerate(codes) if code},
        duration_s=np.full(N, 0.5),
    )
    odd = {
        "status": arrays("u1"),
        "metrics": dicts(NAMES, COLUMNS).map(lambda more: {"score": score, **more} if type(more) is dict else more),
        "errors": dicts(ROWS, mostly(TEXTS, VALUES)).map(
            lambda more: {**found.errors, **more} if type(more) is dict else more
        ),
        "duration_s": arrays("f8", "i8", "O"),
        "checkpoints": dicts(ROWS, mostly(CHECKPOINTS, VALUES)),
    }
    parts = draw(st.lists(st.sampled_from(list(odd)), max_size=2, unique=True))
    return replace(found, **{name: draw(odd[name]) for name in parts})


def without_parts(kind):
    """An object created without its class's __init__."""
    return object.__new__(kind)


ANSWERS = mostly(outcomes(), VALUES, st.sampled_from([without_parts(Outcomes), Review()]))
TIMES = st.one_of(st.floats(0, 1e9), VALUES)
MESSAGES = mostly(
    st.builds(
        Returned,
        number=mostly(st.just(7), NUMBERS),
        worker=TEXTS,
        answer=ANSWERS,
        lost=mostly(st.none(), VALUES),
        cpu_s=TIMES,
        started=TIMES,
        wall_s=TIMES,
    ),
    VALUES,
    st.just(without_parts(Returned)),
)


def plain(column):
    """Returns the values of a column with their types; all NaN are equal."""
    return [repr(value) for value in column.to_list()]


def same(left, right):
    assert left.trials.tolist() == right.trials.tolist()
    assert left.points.tolist() == right.points.tolist()
    scalars = [(one.fidelity, one.worker, one.started, one.cpu_s, one.wall_s) for one in (left, right)]
    assert scalars[0] == scalars[1]
    a, b = left.outcomes, right.outcomes
    assert a.status.tolist() == b.status.tolist()
    assert a.duration_s.tolist() == b.duration_s.tolist()
    assert a.errors == b.errors
    assert {row: left.n_reports for row, left in a.checkpoints.items()} == {
        row: left.n_reports for row, left in b.checkpoints.items()
    }
    assert list(a.metrics) == list(b.metrics)
    for name, column in a.metrics.items():
        assert (column.kind, plain(column)) == (b.metrics[name].kind, plain(b.metrics[name])), name


def recorded(folder, events):
    with closing(Journal.create(folder, STUDY.to_json())) as journal:
        for event in events:
            journal.append(event)
    with closing(Journal(folder)) as journal:
        return list(journal.read())


SENT = Batch(7, Job("job", b"", (), "score"), np.arange(N), POINTS)


def taken_in(message):
    """Returns the event that pools and the dispatcher make of a message; None if the batch is lost."""
    returned = received(message, SENT, "local-0")
    assert (returned.number, returned.worker) == (7, "local-0")
    if returned.lost is not None:
        assert type(returned.lost) is str
        assert returned.answer is None
        returned.lost.encode()
        return None
    times = returned.started, returned.cpu_s, returned.wall_s
    return Finished(SENT.trials, SENT.points, 1.0, returned.outcomes, returned.worker, *times)


def check(folder, *messages):
    """Receives messages, records and reads them; returns how many were valid answers."""
    events = [event for message in messages if (event := taken_in(message)) is not None]
    for event, back in zip(events, recorded(folder, events), strict=True):
        check_read(event, back)
    return len(events)


def check_read(event, back):
    same(event, back)
    table = table_of([back], STUDY)
    assert table.hash() == table_of([event], STUDY).hash()
    for result in table.results():
        assert result.status in STATUSES[: FAILED + 1]
        assert (result.loss is None) == (result.status == "FAILED")
        assert (result.error is not None) >= (result.status == "FAILED")
        assert 0.0 <= result.duration_s <= recordable.LATEST_S
        repr(result).encode()


@settings(max_examples=60, deadline=None)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=8))
def test_what_is_accepted_is_read_as_it_was_and_the_rest_is_a_lost_batch(tmp_path_factory, messages):
    check(tmp_path_factory.mktemp("journal"), *messages)


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=8))
def test_the_same_with_many_more_messages(tmp_path_factory, messages):
    check(tmp_path_factory.mktemp("journal"), *messages)


def honest_outcomes(**parts):
    metrics = metric_columns.from_rows([{"score": float(row), "name": "a"} for row in range(N)])
    return replace(Outcomes(np.zeros(N, np.uint8), metrics, {}, np.full(N, 0.5)), **parts)


def with_metric(name, values):
    return honest_outcomes(metrics={**honest_outcomes().metrics, name: honest(values)})


ACCEPTED = {
    "an honest answer": Returned(7, "x", honest_outcomes(), None, 0.1, 1.7e9, 0.2),
    "times of no clock": Returned(7, "x", honest_outcomes(), None, np.nan, 1e300, -5.0),
    "times that are no numbers": Returned(7, "x", honest_outcomes(), None, "now", None, [1]),
    "durations of no clock": Returned(7, "x", honest_outcomes(duration_s=np.array([np.nan, -1.0, np.inf]))),
    "durations that are texts": Returned(7, "x", honest_outcomes(duration_s=np.array(["a", 1.0, None], object))),
    "half a letter": Returned(7, "x", with_metric("note", ["\ud800", "\ud83d\ude00", "\0"])),
    "half a letter in a name": Returned(7, "x", with_metric("\ud800", [1, 2, 3])),
    "ints beside floats above int64": Returned(7, "x", with_metric("big", [2**70, 1.0, True])),
}
REFUSED = {
    "another batch's answer": Returned(8, "x", honest_outcomes()),
    "no answer": Returned(7, "x"),
    "too few rows": Returned(7, "x", honest_outcomes(status=np.zeros(N - 1, np.uint8))),
    "a column that is too long": Returned(7, "x", honest_outcomes(metrics={"score": honest([1.0] * (N + 1))})),
    "a status that no trial has": Returned(7, "x", honest_outcomes(status=np.array([0, 0, 9], np.uint8))),
    "a status that only the driver gives": Returned(7, "x", honest_outcomes(status=np.array([0, 0, 2], np.uint8))),
    "a failure without a reason": Returned(7, "x", honest_outcomes(status=np.array([0, 0, 1], np.uint8))),
    "a metric that is a column of the table": Returned(7, "x", with_metric("trial_id", [1, 2, 3])),
    "a status of floats": Returned(7, "x", honest_outcomes(status=np.zeros(N))),
    "a status of dates": Returned(7, "x", honest_outcomes(status=np.zeros(N, "M8[s]"))),
    "a column of another precision": Returned(
        7, "x", honest_outcomes(metrics={"score": Column("float", np.ones(N, np.float32), np.ones(N, bool))})
    ),
    "a nested metric": Returned(7, "x", with_metric("nested", [{"a": 1}, [2], 3])),
    "an int above all floats": Returned(7, "x", with_metric("big", [10**400, 1, 2])),
    "two names that become one": Returned(
        7,
        "x",
        honest_outcomes(metrics={"score": honest([1.0] * N), "\ud800": honest([1] * N), "?": honest([1] * N)}),
    ),
    "texts that fill a disk": Returned(7, "x", with_metric("text", ["\0" * 50_000_000, "", ""])),
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_times_and_texts_are_corrected(tmp_path, what):
    assert check(tmp_path, pickle.loads(pickle.dumps(ACCEPTED[what])))


@pytest.mark.parametrize("what", REFUSED)
def test_an_answer_that_cannot_be_repaired_is_a_lost_batch(tmp_path, what):
    assert not check(tmp_path, pickle.loads(pickle.dumps(REFUSED[what])))


def test_a_trial_that_says_it_completed_without_a_finite_metric_has_failed(tmp_path):
    metrics = {"score": honest([1.0, np.inf, ...]), "other": honest([1.0, 2.0, 3.0])}
    message = Returned(7, "x", honest_outcomes(metrics=metrics))
    assert check(tmp_path, message)
    outcomes = received(message, SENT, "local-0").outcomes
    assert outcomes.status.tolist() == [0, FAILED, FAILED]
    assert outcomes.metrics["other"].to_list() == [1.0, None, None]
    assert "inf, not a finite number" in outcomes.errors[1]


DETAILS = st.none() | dicts(TEXTS, mostly(NUMBERS | TEXTS, OTHERS))


@settings(max_examples=50, deadline=None)
@given(
    answer=mostly(
        st.builds(Review, DETAILS, DETAILS, DETAILS, st.none() | arrays("f8"), st.none() | TEXTS),
        VALUES,
        st.just(without_parts(Review)),
    )
)
def test_a_review_is_read_unchanged_or_lost(tmp_path_factory, answer):
    sent = Batch(7, SENT.job, SENT.trials[:1], POINTS[:1], purpose="review")
    returned = received(Returned(7, "x", answer), sent, "local-0")
    if returned.lost is not None:
        return
    found = returned.answer
    row = {"trial": 0, "order_level": found.order_level, "holdout": found.holdout, "error": found.error}
    curves = {} if found.equity is None else {"equity": found.equity}
    event = Reviewed([row], curves)
    [back] = recorded(tmp_path_factory.mktemp("journal"), [event])
    assert repr(back.rows) == repr(event.rows) == repr([row])
    assert {name: repr(curve.tolist()) for name, curve in back.curves.items()} == {
        name: repr(curve.tolist()) for name, curve in event.curves.items()
    }
