"""The same study on another backend has the same table, bit for bit."""

import json
import subprocess
import sys

import pytest


def demo(place, *words):
    done = subprocess.run(
        [sys.executable, "-m", "rbt_ray.cli", "demo", "--json", *words],
        cwd=place, capture_output=True, text=True, timeout=600, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.slow
def test_ray_and_local_give_the_same_table_and_nothing_else_on_stdout(tmp_path):
    local, ray = demo(tmp_path), demo(tmp_path, "--backend", "ray", "--workers", "2")
    assert (local["backend"], ray["backend"]) == ("local", "ray")
    assert ray["table_hash"] == local["table_hash"]
    assert ray["best"] == local["best"]
    assert ray["top"] == local["top"]
