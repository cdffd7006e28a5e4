"""A Ray cluster that begins with a head without processors, and an autoscaler that starts nodes as processes on request.

`ray up` and KubeRay use version 2 of Ray's autoscaler by default, and version 1 on request.

It runs in namespaces of its own for networks and processes, so that everything in it ends with the script that started it.
`python -m tests.cluster.autoscaling SCRIPT` starts the head and runs the script.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

_RAY = Path(sys.executable).with_name("ray")
_COMMANDS = (
    *("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands", "setup_commands"),
    *("head_setup_commands", "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"),
)
"""Parts of the file that Ray needs, and that have no use where nodes are processes."""
_ENVIRONMENTS = {
    1: {"RAY_enable_autoscaler_v2": "0"},
    2: {
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    },
}
"""Variables of the head, by the autoscaler's version."""
_START = """
import json, os, pathlib, sys, time
import ray
import rbt_ray as rbt
from rbt_ray.errors import WorkerStartError
from rbt_ray.pool.ray.pool import RayPool
from tests.pools import batch, collect, points, polynomial, task as job_of

ray.init(address=os.environ["ADDRESS"], log_to_driver=False)

def found(answer):
    pathlib.Path(os.environ["ANSWER"]).write_text(json.dumps(answer))  # Ray prints to stdout too

def until(is_so, seconds=120):
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.1)

def n_nodes():
    return sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())

def demand():
    from ray.util.placement_group import placement_group_table
    return [list(one["bundles"].values()) for one in placement_group_table().values() if one["state"] == "PENDING"]
"""


def run(
    script: str, folder: Path, *, version: int = 2, address: str = "auto", n_cpus: int = 2
) -> tuple[object, list[str]]:
    """Runs a script on a new cluster without workers; returns what it passed to `found`, and our lines on its stderr.

    Args:
        script: the source of the script.
        folder: for the answer and the script.
        version: of the autoscaler.
        address: where the script connects.
        n_cpus: processors of each node, of which there are at most two.
    """
    (folder / "script.py").write_text(_START + script)
    (folder / "cluster.json").write_text(json.dumps(_cluster(n_cpus)))
    spaces = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
    words = [*spaces, sys.executable, "-m", "tests.cluster.autoscaling", str(folder)]
    env = {**os.environ, "ANSWER": str(folder / "answer.json"), "ADDRESS": address, **_ENVIRONMENTS[version]}
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("rbt-ray:")]
    return json.loads((folder / "answer.json").read_text()), said


def _cluster(n_cpus: int) -> dict[str, object]:
    worker = {"CPU": n_cpus, "object_store_memory": 100 << 20}
    return {
        "cluster_name": "fake",
        "max_workers": 2,
        "provider": {
            # By the name "fake_multinode", version 2 reads a file that Ray's wheel lacks.
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "gcs_address": "127.0.0.1:6379",
            "head_node_id": FAKE_HEAD_NODE_ID,
            "launch_multiple": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": worker, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.2,
        **{key: {} for key in ("auth", "docker", "file_mounts")},
        **{key: [] for key in _COMMANDS},
    }


def _main(folder: Path) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="rbt") as short:  # for the paths of sockets
        env = {
            **os.environ,
            **{"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_AUTH_MODE": "disabled"},
            "RAY_TMPDIR": short,
            "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "120",  # 30 s are too few to start a client's server on a busy machine
        }
        words = ["--num-cpus=0", "--port=6379", "--node-ip-address=127.0.0.1", "--include-dashboard=false"]
        words += ["--object-store-memory=100000000", "--disable-usage-stats", f"--temp-dir={short}/ray"]
        words += [f"--autoscaling-config={folder / 'cluster.json'}"]
        subprocess.run([_RAY, "start", "--head", *words], check=True, env=env, stdout=sys.stderr)
        done = subprocess.run([sys.executable, str(folder / "script.py")], env={**env, "PYTHONPATH": str(Path.cwd())})
        if done.returncode:
            for log in Path(short).glob("ray/session_latest/logs/monitor*"):
                sys.stderr.write(f"== {log}\n{log.read_text()[-3000:]}\n")
        return done.returncode


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
