"""`rbt-ray doctor --address` on one machine reports a Ray that requires no token."""

import json
import os
import subprocess
import sys

import pytest

_RAY = """
import ray, sys
ray.init(address="local", include_dashboard=False, num_cpus=1, object_store_memory=100 << 20, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ray_without_token():
    """Starts a Ray that anybody may join; yields its address and the environment for joining it."""
    env = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    words = [sys.executable, "-c", _RAY]
    process = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        address = next(line for line in process.stdout if ":" in line and " " not in line.strip())
        yield address.strip(), env
    finally:
        process.communicate(timeout=120)


def examine(address, env, *words):
    command = [sys.executable, "-m", "rbt_ray.cli", "doctor", "--address", address, *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("ray", "safe"),
    [
        pytest.param("ray_without_token", False, id="disabled", marks=pytest.mark.slow),
        pytest.param("users_ray", True, id="token", marks=pytest.mark.slow),
    ],
)
def test_what_is_open_on_one_machine(request, ray, safe):
    address, env = request.getfixturevalue(ray)
    done = examine(address, env, "--json")
    found = json.loads(done.stdout)
    assert found["hosts"]["says"].startswith("1: ")
    assert found["token"]["ok"] == safe
    assert found["versions"]["ok"]
    assert found["clocks"]["ok"]
    assert found["dashboard"]["says"] == "not running"
    assert found["object stores"]["says"].endswith(" of 0.10 GB")
    assert done.returncode == (0 if safe else 1)
    assert "Traceback" not in done.stderr
    if safe:
        return
    assert "run any code" in found["token"]["says"]
    # The text output has the same statuses, good and bad.
    said = examine(address, env).stdout
    for what, one in found.items():
        [line] = [line for line in said.splitlines() if line[5:].startswith(what + " ")]
        assert line.startswith("ok " if one["ok"] else "BAD")


def test_an_invalid_address_is_one_sentence():
    done = examine("nonsense", dict(os.environ))
    assert done.returncode == 2
    assert "no Ray cluster can be joined at 'nonsense'" in done.stderr
    assert "Traceback" not in done.stderr
