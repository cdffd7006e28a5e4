"""The files of cluster/: Ray and Kubernetes take them, they are safe as they are, and the script one submits runs."""

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import ray
import yaml

ROOT = Path(__file__).parents[1]
CLUSTER = ROOT / "cluster"
LAUNCHED = ("on-prem", "aws", "gcp")
RAY_SCHEMA = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
KUBERNETES = "1.30"
PINNED = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
# KubeRay's API reference (ray.io/v1): fields of RayJobSpec, RayClusterSpec and its groups that are used here.
RAY_JOB = {
    "submissionMode", "entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "activeDeadlineSeconds",
    "backoffLimit", "rayClusterSpec",
}  # fmt: skip
RAY_CLUSTER = {"rayVersion", "enableInTreeAutoscaling", "authOptions", "headGroupSpec", "workerGroupSpecs"}
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def read(name):
    return yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())


def health_checks(text):
    return dict(re.findall(r"(RAY_health_check_\w+)=(\d+)", text))


def variables_of(pod):
    return {one["name"]: one["value"] for one in pod["spec"]["containers"][0].get("env", ())}


@pytest.fixture(scope="module")
def kubernetes():
    return {
        document["kind"]: document for document in yaml.safe_load_all((CLUSTER / "kuberay-rayjob.yaml").read_text())
    }


@pytest.fixture(scope="module")
def pods(kubernetes):
    """The head's and the workers' pods, as KubeRay makes them of their templates."""
    cluster = kubernetes["RayJob"]["spec"]["rayClusterSpec"]
    templates = [group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "pod", **template["metadata"]},
            "spec": template["spec"],
        }
        for template in templates
    ]


def check_as_ray_does(config):
    from ray.autoscaler._private.util import prepare_config, validate_config  # here, since it imports half of Ray

    validate_config(prepare_config(config))


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_takes_it(name):
    config = read(name)
    jsonschema.validate(config, RAY_SCHEMA)
    check_as_ray_does(config)


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_would_refuse_a_misspelt_one(name):
    with pytest.raises(jsonschema.ValidationError):
        check_as_ray_does({**read(name), "file_mount": {}})


@pytest.mark.parametrize("name", LAUNCHED)
def test_every_host_asks_for_the_token_and_nothing_but_the_head_itself_is_open(name):
    config = read(name)
    [head] = [line for line in config["head_start_ray_commands"] if "--head" in line]
    [worker] = [line for line in config["worker_start_ray_commands"] if "--address" in line]
    for line in (head, worker):
        assert line.startswith("RAY_AUTH_MODE=token ")
        assert "0.0.0.0" not in line
    assert "--dashboard-host=127.0.0.1" in head
    assert "rbt_ray.pool.loopback_ray start" in head


def test_all_heads_look_after_their_hosts_alike(pods):
    checks = [health_checks((CLUSTER / f"{name}.yaml").read_text()) for name in LAUNCHED]
    variables = variables_of(pods[0])
    checks_of_pods = {name: value for name, value in variables.items() if "health_check" in name}
    assert all(check == checks_of_pods for check in checks)
    # What the README promises: three checks a second apart and a second long each after the last that went well.
    period, timeout, threshold = (
        int(variables[f"RAY_health_check_{name}"]) for name in ("period_ms", "timeout_ms", "failure_threshold")
    )
    assert threshold * max(period, timeout) <= 6_000


def test_what_objectives_start_ends_with_its_worker_on_every_host(pods):
    """Each raylet reads the setting from its own environment; a misspelt one it would not mind."""
    setting = "RAY_process_group_cleanup_enabled"
    for name in LAUNCHED:
        commands = [*read(name)["head_start_ray_commands"], *read(name)["worker_start_ray_commands"]]
        started = [command for command in commands if " start " in command]
        assert len(started) == 2
        assert all(f" {setting}=true " in command for command in started)
    assert all(variables_of(pod)[setting] == "true" for pod in pods)
    raylet = Path(ray.__file__).parent / "core/src/ray/raylet/raylet"
    assert setting.removeprefix("RAY_").encode() in raylet.read_bytes()


@pytest.mark.parametrize("name", LAUNCHED)
def test_hosts_get_what_is_installed_and_imported_there(name):
    mounts = read(name)["file_mounts"]
    assert all((ROOT / here).exists() for there, here in mounts.items() if here not in ("dist", "~/.ray/auth_token"))
    assert mounts["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert read(name)["setup_commands"] == ["sh ~/rbt/install.sh"]


def test_clouds_open_nothing_by_themselves():
    aws = [kind["node_config"] for kind in read("aws")["available_node_types"].values()]
    # Ray makes a group with ssh open to everybody unless every machine names its own; this one does not exist.
    assert all(machine["SecurityGroupIds"] == ["sg-your-group"] for machine in aws)
    assert "security_group" not in read("aws")["provider"]
    gcp = [kind["node_config"] for kind in read("gcp")["available_node_types"].values()]
    assert all("/your-project/" in one["subnetwork"] for machine in gcp for one in machine["networkInterfaces"])
    for file in CLUSTER.rglob("*"):
        if file.is_file() and file.suffix in (".yaml", ".md", ".sh", ".py"):
            assert "0.0.0.0/0" not in file.read_text(), file


def test_no_file_holds_a_secret():
    long_word = re.compile(r"\b(?:[0-9a-fA-F]{32,}|AKIA[0-9A-Z]{16}|-----BEGIN)")
    for file in (one for one in CLUSTER.rglob("*") if one.is_file() and "__pycache__" not in one.parts):
        assert not long_word.search(file.read_text()), file


def test_kubernetes_takes_the_pods_the_volume_and_the_policy(kubernetes, pods):
    for document in (*pods, kubernetes["PersistentVolumeClaim"], kubernetes["NetworkPolicy"]):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    broken = {**pods[0], "spec": {**pods[0]["spec"], "container": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_the_ray_job_is_one_that_kuberay_knows(kubernetes):
    job = kubernetes["RayJob"]
    assert job["apiVersion"] == "ray.io/v1"
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert set(spec) == RAY_JOB
    assert set(cluster) == RAY_CLUSTER
    assert all(set(group) <= GROUP for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]))
    assert all(
        isinstance(value, str)
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        for value in group["rayStartParams"].values()
    )
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == PINNED["ray"]
    assert spec["shutdownAfterJobFinishes"] is True


def test_workers_start_on_request_and_a_head_that_waits_runs_no_trials(kubernetes, pods):
    for name in ("aws", "gcp"):
        config = read(name)
        head, worker = (config["available_node_types"][kind] for kind in ("head", "worker"))
        assert head["resources"]["CPU"] == 0
        assert 0 == worker["min_workers"] < worker["max_workers"] <= config["max_workers"]
    cluster = kubernetes["RayJob"]["spec"]["rayClusterSpec"]
    assert cluster["enableInTreeAutoscaling"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    [workers] = cluster["workerGroupSpecs"]
    assert 0 == workers["replicas"] == workers["minReplicas"] < workers["maxReplicas"]


def test_the_policy_lets_in_the_clusters_own_pods_and_kuberay_only(kubernetes, pods):
    policy = kubernetes["NetworkPolicy"]["spec"]
    labels = policy["podSelector"]["matchLabels"]
    assert all(labels.items() <= pod["metadata"]["labels"].items() for pod in pods)
    assert policy["policyTypes"] == ["Ingress"]
    own, kuberay = policy["ingress"]
    assert own == {"from": [{"podSelector": policy["podSelector"]}]}
    assert kuberay["ports"] == [{"port": 8265}]
    assert kuberay["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}


def test_pods_run_without_rights_and_keep_the_study_on_the_volume(kubernetes, pods):
    claim = kubernetes["PersistentVolumeClaim"]["metadata"]["name"]
    for pod in pods:
        [container] = pod["spec"]["containers"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    # Only the autoscaler, which KubeRay adds to the head's pod, calls Kubernetes.
    assert [pod["spec"].get("automountServiceAccountToken", True) for pod in pods] == [True, False]
    [volume] = pods[0]["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim
    # Where sweep.py goes to for a job, it writes studies/.
    assert pods[0]["spec"]["containers"][0]["volumeMounts"] == [
        {"name": volume["name"], "mountPath": "/home/ray/studies"}
    ]


def test_the_image_has_rays_version_and_what_the_job_names(kubernetes, pods):
    image = (CLUSTER / "Dockerfile").read_text()
    assert f"FROM rayproject/ray:{PINNED['ray']}-py312\n" in image
    copied = dict(re.findall(r"^COPY --chown=ray (\S+) (\S+)$", image, re.MULTILINE))
    assert all((ROOT / here).exists() for here in copied)
    _, script, study, *_ = kubernetes["RayJob"]["spec"]["entrypoint"].split()
    assert copied["cluster/sweep.py"] == script
    assert copied["cluster/example"] == str(Path(study).parent)
    assert (CLUSTER / "example" / Path(study).name).exists()
    [tag] = {pod["spec"]["containers"][0]["image"] for pod in pods}
    assert f"-t {tag} " in image


@pytest.mark.slow
def test_the_script_runs_a_study_as_the_command_line_does(tmp_path):
    script = [sys.executable, CLUSTER / "sweep.py", CLUSTER / "example/study.toml"]
    options = ["--backend", "local", "--samples", "50", "--json"]
    done = subprocess.run([*script, *options], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["backend"] == "local"
    assert found["best"]["metrics"]["sharpe"] == max(row["sweep"]["sharpe"] for row in found["top"])
    assert found["n_trials"] - found["n_failed"] >= 50
    words = [sys.executable, "-m", "rbt_ray.cli", "show", "studies/pullback", "--json"]
    shown = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(shown.stdout)["table_hash"] == found["table_hash"]


@pytest.mark.parametrize(
    ("given", "added"),
    [
        ([], ["--backend", "ray", "--address", "auto"]),
        (["--samples", "5"], ["--backend", "ray", "--address", "auto"]),
        (["--backend", "local"], []),
        (["--backend=local"], []),
        (["--address", "10.0.0.1:6379"], []),
    ],
)
def test_the_script_uses_its_own_cluster_unless_an_address_is_given(given, added):
    words = runpy.run_path(str(CLUSTER / "sweep.py"))["words"]
    assert words(["study.toml", *given]) == ["run", "study.toml", *given, *added]


def test_the_installer_is_shell():
    subprocess.run(["sh", "-n", CLUSTER / "install.sh"], check=True, timeout=120)
