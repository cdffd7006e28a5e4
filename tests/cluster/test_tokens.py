"""The head, its Ray Client server and its dashboard refuse clients without the cluster's token, or with another one."""

import itertools

import pytest

from tests.cluster.ray_cluster import GCS_PORT, PYTHON, RAY, RayCluster
from tests.cluster.studies import RBT_RAY, Driver

pytestmark = pytest.mark.cluster

_NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}
_WRONG_TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
_JOIN = "import ray, sys; ray.init(sys.argv[1], logging_level='error'); print('joined')"


@pytest.fixture(scope="module")
def guarded(lan):
    return RayCluster(lan, dashboard=True)


def knocks(cluster):
    """Every way in."""
    yield [PYTHON, "-c", _JOIN, f"{cluster.head.address}:{GCS_PORT}"]
    yield [PYTHON, "-c", _JOIN, "ray://127.0.0.1:10001"]
    yield [RAY, "job", "submit", "--address", "http://127.0.0.1:8265", "--", "echo", "joined"]


def test_only_who_has_the_token_gets_in(guarded, tmp_path):
    keys = {"none": _NO_TOKEN, "wrong": _WRONG_TOKEN, "right": guarded.env}
    doors = itertools.product(keys, knocks(guarded))
    # In parallel, since Ray tries for half a minute before it fails.
    drivers = [(key, words, Driver(guarded.head, words, tmp_path, keys[key])) for key, words in doors]
    assert len(drivers) == 9
    for key, words, driver in drivers:
        done = driver.end()
        joined = done.returncode == 0 and "joined" in done.stdout.splitlines()
        assert joined == (key == "right"), (key, words, done)
        if key == "right":
            continue
        said = done.stdout + done.stderr
        assert any(word in said for word in ("uthenticat", "Failed to connect", "connection timeout")), said


def test_what_is_open_to_the_network_asks_for_the_token_and_the_rest_is_on_loopback(guarded, lan):
    outside = lan.add()
    port_open = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
    reached = {
        port: outside.run([PYTHON, "-c", port_open, guarded.head.address, str(port)], check=False).returncode == 0
        for port in (GCS_PORT, 10001, 8265)
    }
    assert reached == {GCS_PORT: True, 10001: False, 8265: False}


def test_a_study_without_the_token_ends_with_a_sentence(guarded, tmp_path):
    words = [RBT_RAY, "demo", "--json", "--backend", "ray", "--address", f"{guarded.head.address}:{GCS_PORT}"]
    done = Driver(guarded.head, words, tmp_path, _NO_TOKEN).end()
    assert done.returncode == 2
    assert "is its token known here?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
