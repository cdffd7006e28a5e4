"""What cluster/README.md says of one's own machines, typed on one that is not of the cluster, over real ssh."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from tests.cluster.hosts import HOME, Lan
from tests.cluster.ray_cluster import PYTHON, ROOT
from tests.cluster.ssh import Ssh
from tests.cluster.studies import Driver, wait_for

pytestmark = pytest.mark.cluster

README = (ROOT / "cluster/README.md").read_text()
# The first needs a package index to build with, and is exercised by `.ci/wheel`; the shell's own state is in `env`.
NOT_TYPED = ("uv build", "export ")


def commands():
    """Every command of the README's blocks of shell, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.partition("   #")[0].strip() for line in lines if not line.startswith(NOT_TYPED)]


@pytest.fixture(scope="module")
def expected_hash(tmp_path_factory):
    """Of the example's table on this machine's own processes."""
    words = [
        sys.executable,
        ROOT / "cluster/sweep.py",
        ROOT / "cluster/example/study.toml",
        "--backend",
        "local",
        "--json",
    ]
    done = subprocess.run(words, cwd=tmp_path_factory.mktemp("local"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["table_hash"]


@pytest.fixture(scope="module")
def laptop(able, tmp_path_factory):
    """A machine with the checkout, beside three that have an ssh server and the environment, and not the example."""
    folder = tmp_path_factory.mktemp("launcher")
    with Lan(folder / "lan", {}) as lan:
        laptop, *hosts = (lan.add() for _ in range(4))
        ssh = Ssh(folder / "keys", laptop)
        for host in hosts:
            host.hide(ROOT / "cluster/example")
            ssh.serve(host)
        laptop.replace(ROOT / "cluster/on-prem.yaml", by=filled_in(folder, hosts))
        yield laptop


def filled_in(folder, hosts):
    """on-prem.yaml with what is the user's own. Hosts have no package index: the environment is there already."""
    (folder / "install.sh").write_text(
        (ROOT / "cluster/install.sh").read_text().partition("\ntest ")[0]
        + f'\nline=\'export PATH="{PYTHON.parent}:$PATH" RAY_AUTH_MODE=token\'\necho "$line" >>"$HOME/.bashrc"\n'
    )
    (folder / "dist").mkdir()
    config = yaml.safe_load((ROOT / "cluster/on-prem.yaml").read_text())
    head, *workers = (host.address for host in hosts)
    config["provider"].update(head_ip=head, worker_ips=workers)
    config["auth"]["ssh_user"] = "root"
    config["file_mounts"] |= {"~/rbt/install.sh": str(folder / "install.sh"), "~/rbt/dist": str(folder / "dist")}
    (folder / "on-prem.yaml").write_text(yaml.safe_dump(config))
    return folder / "on-prem.yaml"


def typed(laptop, command, folder, check=True):
    """What a command printed; a tunnel is left open, and given."""
    driver = Driver(laptop, ["bash", "-c", command], folder, {"RAY_AUTH_MODE": "token"}, cwd=ROOT)
    done = driver.end(180)
    assert done.returncode == 0 or not check, (command, done.stdout[-5000:], done.stderr[-5000:])
    return done


def test_the_commands_of_the_readme(laptop, expected_hash, tmp_path):
    said = {}
    for command in commands():
        print(command)
        done = typed(laptop, command, tmp_path)
        said[command] = done.stdout
        print(done.stdout[-1500:], done.stderr[-1000:])
