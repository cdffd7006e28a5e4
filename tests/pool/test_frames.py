"""Data on a worker's pipe: answers to the last message, and anything else that an objective writes there."""

import multiprocessing
import os
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbt_ray.pool.frames import AnswerError, FrameReader, WorkerEnd
from rbt_ray.pool.local.pool import LocalPool
from rbt_ray.pool.pool import Batch, Job, Returned, received
from tests.pools import batch, collect, points, task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes of Windows are no streams of bytes")


def frame_of(answer, tag):
    """Returns the bytes with which a worker answers a message with that tag."""
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        ours.send((tag, "message"))
        worker = WorkerEnd(theirs)
        worker.receive()
        worker.answer(answer)
        return os.read(ours.fileno(), 2**16)


def read(data, tag):
    """Returns what the driver reads from these bytes, after which the pipe is closed."""
    ours, theirs = multiprocessing.Pipe()
    with ours:
        with theirs:
            os.write(theirs.fileno(), data)
        frame = FrameReader(tag)
        while not frame.read_from(ours):
            pass
        return frame.answer()


TAG = bytes(range(16))
ANSWER = Returned(3, "local-0", answer=[1.0, 2.0])
FRAME = frame_of(ANSWER, TAG)


def test_an_answer_arrives():
    assert read(FRAME, TAG).answer == ANSWER.answer


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.integers(0, len(FRAME) - 1).map(lambda end: FRAME[:end]),
        st.tuples(st.integers(0, len(FRAME) - 1), st.integers(1, 255)).map(
            lambda change: FRAME[: change[0]] + bytes([FRAME[change[0]] ^ change[1]]) + FRAME[change[0] + 1 :]
        ),
        st.tuples(st.integers(0, len(FRAME)), st.binary(min_size=1, max_size=20)).map(
            lambda junk: FRAME[: junk[0]] + junk[1] + FRAME[junk[0] :]
        ),
        st.just(frame_of(ANSWER, bytes(16))),
        st.just(FRAME + FRAME),
    )
)
def test_anything_else_is_recognised(data):
    """Cut, changed in a byte, with junk before, within or behind, to another message, twice, or no frame at all."""
    with pytest.raises((AnswerError, EOFError)):
        read(data, TAG)


class Exits:
    def __reduce__(self):
        return sys.exit, (3,)


def test_an_answer_that_exits_when_it_is_read_is_refused():
    with pytest.raises(AnswerError):
        read(frame_of(Exits(), TAG), TAG)


@pytest.mark.parametrize("answer", [Returned(4, "local-0"), "ready", None, (3, "local-0")])
def test_an_invalid_answer_loses_the_batch_and_the_worker(answer):
    batch = Batch(3, Job("key", b""), np.arange(1), np.zeros((1, 1)))
    returned = received(read(frame_of(answer, TAG), TAG), batch, "local-0")
    assert returned.number == 3
    assert returned.lost is not None
    assert returned.unfit


def test_an_answer_larger_than_the_pipe_arrives_whole():
    ours, theirs = multiprocessing.Pipe()
    ours.send((TAG, "message"))
    worker = WorkerEnd(theirs)
    worker.receive()
    large = np.random.default_rng(1).random(10**6)
    sender = threading.Thread(target=worker.answer, args=(large,))
    sender.start()
    frame = FrameReader(TAG)
    while not frame.read_from(ours):
        pass
    sender.join()
    assert (frame.answer() == large).all()


def forge(params, data):
    """Finds the worker's own end of the pipe and answers, by its means, what was not asked."""
    import gc

    if params["n"] == 50:
        end = next(found for found in gc.get_objects() if type(found) is WorkerEnd)
        end.answer(Returned(10**6, "another"))
    return params["n"] + 0.0


def test_a_forged_answer_costs_the_batch_and_no_other():
    pool = LocalPool(1)
    try:
        job, rows = task(forge), points(4)
        for number, n in enumerate([1, 50, 2]):
            rows[:, 1] = n
            pool.submit(batch(number, job, rows))
            returned = collect(pool, 1)[number]
            assert (returned.lost is None) == (n != 50)
            if n != 50:
                assert returned.outcomes.metrics["score"].values.tolist() == [n] * 4
    finally:
        pool.close()
