"""`ray up` and a study at once, on a cluster whose machines start on request: the file for Google Cloud, with hosts of a `Lan`."""

import pytest
from ray.autoscaler._private.providers import _get_default_config

from tests.cluster.cloud import HostProvider
from tests.cluster.hosts import Lan
from tests.cluster.laptop import EXAMPLE, PRIVATE, TOKEN, Laptop, example_hash, printed_hash
from tests.cluster.studies import RBT_RAY, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(450)]

FILE = "cluster/gcp.yaml"
JOB = "ray job submit --address http://127.0.0.1:8265 --working-dir cluster -- python sweep.py example/study.toml"
WAITS = "rbt-ray: waiting up to 900 s for a node to join the cluster"


class Cloud:
    """A cluster of a head that runs no trials, and up to two machines that start on request.

    Args:
        lan: where its hosts are made.
        folder: empty; seen by all hosts.
    """

    def __init__(self, lan, folder):
        self._folder = folder
        self.laptop = Laptop(lan, folder, "gcp.yaml", self._fill_in)
        # A trial that counts a retry fails, which changes the table.
        self.laptop.host.write(
            EXAMPLE / "study.toml", f"{(EXAMPLE / 'study.toml').read_text()}[run]\nmax_retries = 0\n"
        )

    def open(self):
        """Machines that were requested start, and those of later requests at once."""
        (self._folder / "opened").touch()

    def close(self):
        """Machines that are requested do not start until `open`."""
        (self._folder / "opened").unlink(missing_ok=True)

    def n_machines(self):
        return len(HostProvider(self._provider, "rbt").non_terminated_nodes({}))

    def _fill_in(self, config, hosts):
        for name, value in _get_default_config({"type": "gcp"}).items():
            config.setdefault(name, value)
        self._provider = config["provider"] = {
            "type": "external",
            "module": "tests.cluster.cloud.HostProvider",
            "state": str(self._folder),
            "addresses": [host.address for host in hosts],
        }
        config["available_node_types"]["worker"].update(resources={"CPU": 1}, max_workers=2)
        config["max_workers"] = 2
        config["idle_timeout_minutes"] = 0.2
        config["initialization_commands"] = config["head_setup_commands"] = []


@pytest.fixture(scope="module")
def cloud(able, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloud")
    with Lan(folder / "lan", {}) as lan:
        cloud = Cloud(lan, folder)
        for line in (TOKEN, PRIVATE, f"ray up -y {FILE}"):
            cloud.laptop.type(line)
        yield cloud


@pytest.mark.parametrize(
    ("way", "options"),
    [
        pytest.param("submit", "", id="submit, all nodes"),
        pytest.param("submit", " --workers 2", marks=pytest.mark.slow, id="submit, 2 workers"),
        pytest.param("job", "", marks=pytest.mark.slow, id="job, all nodes"),
        pytest.param("job", " --workers 2", marks=pytest.mark.slow, id="job, 2 workers"),
    ],
)
def test_a_study_that_is_submitted_at_once_requests_machines_and_returns_them(cloud, tmp_path, way, options):
    if way == "submit":
        finish(cloud, f"ray submit {FILE} cluster/sweep.py -- study/study.toml --exist new{options}")
    else:
        with cloud.laptop.tunnel(f"ray dashboard {FILE}", 8265):
            finish(cloud, f"{JOB} --exist new{options}")
    shown = cloud.laptop.type(f"ray exec {FILE} 'rbt-ray show $(ls -td studies/* | head -n 1) --json'")
    assert printed_hash(shown) == example_hash(tmp_path)


@pytest.mark.slow
def test_a_study_through_a_ray_client_requests_machines_and_returns_them(cloud, tmp_path):
    words = f"{RBT_RAY} run study.toml --json --backend ray --address ray://127.0.0.1:10001 --exist new"
    with cloud.laptop.tunnel(f"ray dashboard {FILE} --port 10001 --remote-port 10001", 10001):
        printed = finish(cloud, f"cd {EXAMPLE} && {words}")
    assert printed_hash(printed) == example_hash(tmp_path)


def finish(cloud, line):
    """Runs a study whose first machine starts only after it has printed what it waits for; returns what it printed."""
    cloud.close()
    wait_for(lambda: cloud.n_machines() == 1, seconds=120)
    driver = cloud.laptop.begin(["bash", "-c", line])
    wait_for(lambda: WAITS in driver.said, seconds=180)
    cloud.open()
    done = driver.end(240)
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: cloud.n_machines() == 1, seconds=120)
    return done.stdout
