"""A study on a cluster says where it is stored and which command fetches it; one on the user's own machine does not."""

import socket

import pytest

from rbt_ray.store.location import StudyLocation
from rbt_ray.tuner.config import RunConfig
from rbt_ray.tuner.results_home import _sentence, announced
from tests import one_ray

HOST = socket.gethostname()


@pytest.fixture
def on_ray():
    one_ray.keep()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def stored(path, command):
    return f"rbt-ray: the study is stored in {path} on {HOST}: `{command}` fetches it."


def test_on_a_head_that_ray_up_has_started(on_ray, home):
    (home / "ray_bootstrap_config.yaml").touch()
    path = home / "studies" / "my study"
    assert _sentence(StudyLocation(path)) == stored(
        path, f"ray rsync-down CLUSTER.yaml '{home}/studies/my study'/ 'my study'/"
    )


def test_in_a_pod(on_ray, home, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    path = home / "pullback"
    assert _sentence(StudyLocation(path)) == stored(path, f"kubectl cp {HOST}:{path} pullback")


def test_at_a_uri(on_ray, tmp_path):
    uri = f"file://{tmp_path}/pullback"
    assert (
        _sentence(StudyLocation(uri))
        == f"rbt-ray: the study is stored in {uri}: `rbt-ray show {uri}` prints it on any machine."
    )


def test_not_on_a_cluster_of_one_machine(on_ray, home):
    assert _sentence(StudyLocation(home / "pullback")) is None


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_not_on_workers_of_its_own(on_ray, home, capfd, backend):
    (home / "ray_bootstrap_config.yaml").touch()
    with announced(RunConfig(backend=backend), StudyLocation(home / "pullback")):
        pass
    assert capfd.readouterr().err == ""
