"""The commands of cluster/README.md for your own machines, typed on a machine outside of the cluster, over real ssh."""

import json
import re

import pytest

from tests.cluster.hosts import HOME, Lan
from tests.cluster.laptop import EXAMPLE, PRIVATE, TOKEN, Laptop, example_hash, printed_hash, run_here
from tests.cluster.ray_cluster import PYTHON, ROOT
from tests.cluster.studies import RBT_RAY, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

README = (ROOT / "cluster/README.md").read_text()

UP = "ray up -y cluster/on-prem.yaml"
SUBMIT = "ray submit cluster/on-prem.yaml cluster/sweep.py -- study/study.toml"
SHOW = "ray exec cluster/on-prem.yaml 'rbt-ray show studies/pullback --json'"
DOCTOR = "ray exec cluster/on-prem.yaml 'rbt-ray doctor --address auto'"
RESUME = "ray exec cluster/on-prem.yaml 'rbt-ray resume studies/pullback --backend ray --address auto'"
FETCH = "ray rsync-down cluster/on-prem.yaml studies/ studies/"
DASHBOARD = "ray dashboard cluster/on-prem.yaml"
JOB = "ray job submit --address http://127.0.0.1:8265 --working-dir cluster -- python sweep.py example/study.toml"
JOBS = "ray job list --address http://127.0.0.1:8265"
CLIENT = "ray dashboard cluster/on-prem.yaml --port 10001 --remote-port 10001"
DOWN = "ray down -y cluster/on-prem.yaml"
TYPED = {TOKEN, PRIVATE, UP, SUBMIT, SHOW, DOCTOR, RESUME, FETCH, DASHBOARD, JOB, JOBS, CLIENT, DOWN}
NOT_TYPED = {"uv build --wheel", "export RAY_AUTH_MODE=token"}
"""Hosts of a `Lan` have no package index, which a build needs; a variable is set another way."""

SUMMARY = "study   studies/pullback"
"""A line that a study prints when it is over."""


def test_every_command_of_the_readme_is_typed_here_as_it_stands_there():
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    assert {re.sub(r" {2,}#.*", "", line) for line in blocks.splitlines()} == TYPED | NOT_TYPED


def fill_in(config, hosts):
    head, *workers = (host.address for host in hosts)
    config["provider"].update(head_ip=head, worker_ips=workers)


@pytest.fixture(scope="module")
def laptop(able, tmp_path_factory):
    """With the cluster up."""
    folder = tmp_path_factory.mktemp("launcher")
    with Lan(folder / "lan", {}) as lan:
        laptop = Laptop(lan, folder, "on-prem.yaml", fill_in)
        for line in (TOKEN, PRIVATE, UP):
            laptop.type(line)
        # Workers start after the head; one that is starting may not answer yet.
        wait_for(lambda: re.search(r"ok +hosts +3: ", laptop.begin(["bash", "-c", DOCTOR]).end().stdout))
        yield laptop


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The hash of the example's table on the local backend."""
    return example_hash(tmp_path_factory.mktemp("local"))


def hash_shown(laptop):
    return printed_hash(laptop.type(SHOW))


def test_the_cluster_is_as_safe_as_the_readme_says(laptop):
    said = laptop.type(DOCTOR)
    assert re.search(r"ok +token +required", said)
    for what in ("dashboard", "client server"):
        assert re.search(rf"ok +{what} +port \d+ of the head's loopback only", said), said
    for server in laptop.servers:
        kept = server.run(["stat", "-c", "%a", HOME / ".ray/auth_token"]).stdout
        assert kept.strip()[1:] == "00", f"others can read the token on {server.name}: {kept}"


def test_a_study_is_submitted_shown_resumed_and_downloaded(laptop, expected):
    said = laptop.type(SUBMIT)
    assert SUMMARY in said
    assert hash_shown(laptop) == expected
    lines = re.findall(r"rbt-ray: the study is stored in \S+ on \S+: `(ray rsync-down .*)` fetches it", said)
    assert len(lines) == 2  # at its start and at its end
    laptop.type(lines[0].replace("CLUSTER.yaml", "cluster/on-prem.yaml"))
    assert laptop.begin([RBT_RAY, "show", "pullback", "--json"]).result()["table_hash"] == expected
    assert SUMMARY in laptop.type(RESUME)
    laptop.type(FETCH)
    here = laptop.begin([RBT_RAY, "show", "studies/pullback", "--json"]).result()
    assert here["table_hash"] == expected


def test_a_job_brings_its_module_along_and_leaves_its_study_at_home(laptop, expected):
    for server in laptop.servers:
        server.run(["rm", "-rf", HOME / "study", HOME / "studies"])
    with laptop.tunnel(DASHBOARD, 8265):
        assert "succeeded" in laptop.type(JOB)
        assert "SUCCEEDED" in laptop.type(JOBS)
    assert hash_shown(laptop) == expected


def test_a_job_outlives_its_client_and_the_connection(laptop, expected):
    laptop.servers[0].run(["rm", "-rf", HOME / "studies"])
    with laptop.tunnel(DASHBOARD, 8265):
        client = laptop.begin(["bash", "-c", f"exec {JOB}"])
        wait_for(lambda: "submitted successfully" in client.said)
        client.kill()
    words = [RBT_RAY, "show", HOME / "studies/pullback", "--json"]

    def is_done():
        done = laptop.servers[0].run(words, check=False)
        return done.returncode == 0 and json.loads(done.stdout)["table_hash"] == expected

    wait_for(is_done, seconds=120)


@pytest.fixture
def script():
    """The script of the README."""
    [script] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return script


def without_client(script, settings):
    """Returns the script with other settings of where it runs."""
    changed = re.sub(r"ray\.init\(.*\)\n", "", script)
    return re.sub(r'backend=.*?address=".*?"', settings, changed)


def test_a_script_of_ones_own_drives_the_cluster_through_a_ray_client(laptop, script, tmp_path):
    with laptop.tunnel(CLIENT, 10001):
        done = laptop.begin([PYTHON, "-c", script], cwd=EXAMPLE).end()
    assert done.returncode == 0, done.stderr
    assert done.stdout == run_here([PYTHON, "-c", without_client(script, 'backend="local"')], tmp_path)


def test_a_script_of_ones_own_with_a_relative_folder_stores_the_study_of_its_job_at_home(laptop, script, tmp_path):
    laptop.host.write(EXAMPLE / "own.py", without_client(script, 'storage_path="mine"'))
    job = JOB.replace("cluster -- python sweep.py example/study.toml", "cluster/example -- python own.py")
    with laptop.tunnel(DASHBOARD, 8265):
        said = laptop.type(job)
    assert f"rbt-ray: the study is stored in {HOME}/mine/from-here, in the home folder" in said
    words = [RBT_RAY, "show", HOME / "mine/from-here", "--json"]
    found = json.loads(laptop.servers[0].run(words).stdout)["table_hash"]
    assert found == run_here([PYTHON, "-c", without_client(script, 'backend="local"')], tmp_path).strip()


def test_down_ends_the_head(laptop):
    laptop.type(DOWN)
    joined = laptop.begin(
        [PYTHON, "-c", f"import socket; socket.create_connection(('{laptop.servers[0].address}', 6379))"]
    )
    assert "ConnectionRefusedError" in joined.end().stderr
