"""A study whose disk is full pauses with a message. It continues when there is space, or stops and can be resumed."""

import os
import signal
import time
from contextlib import contextmanager

import pytest

from tests.chaos.faults import fill
from tests.chaos.run import small_disks
from tests.chaos.study import Study, wait_for

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    with small_disks(folder, small_disk=False, own_shm=True) as storage:
        study = Study(folder, storage, "random", "local", own_shm=True)
        study.hurry()
        yield study.finish(lambda _code, _said: False)


@contextmanager
def running(folder):
    """A running study."""
    with small_disks(folder, small_disk=True, own_shm=True) as storage:
        study = Study(folder, storage, "random", "local", own_shm=True)
        try:
            study.start()
            wait_for(lambda: study.n_recorded() > 5, "trials are recorded")
            yield study
        finally:
            study.end()


def test_it_goes_on_when_there_is_room(tmp_path, undisturbed):
    with running(tmp_path) as study:
        ballast = fill(study.storage)
        wait_for(lambda: "the study pauses" in study.said(), "the driver says so")
        assert "disk is full. It continues by itself as soon as it can write; Ctrl-C stops it" in study.said()
        before = study.n_recorded()
        time.sleep(1.0)  # the fault lasts
        assert study.running
        assert study.n_recorded() == before
        ballast.unlink()
        study.hurry()
        study.check(study.finish(lambda _code, _said: False), undisturbed)
        assert study.n_drivers == 1


def test_ctrl_c_while_it_pauses_stops_it_and_it_can_be_resumed(tmp_path, undisturbed):
    with running(tmp_path) as study:
        ballast = fill(study.storage)
        wait_for(lambda: "the study pauses" in study.said(), "the driver says so")
        os.kill(study.pid(), signal.SIGINT)
        assert study.driver.wait(30) == 1
        assert "Recorded trials are safe; continue with `rbt-ray resume" in study.said()
        assert "Traceback" not in study.said()
        wait_for(lambda: not study.processes(), "nobody is left", 15)
        ballast.unlink()
        study.hurry()
        study.start()
        study.check(study.finish(lambda _code, _said: False), undisturbed)
