"""A study of `rbt_ray.tune` is private, and opening another person's loads no pickle from any file."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rbt_ray import tune
from rbt_ray.cli.main import run_command
from rbt_ray.compat.ray_tune.definition import FILE, Definition
from rbt_ray.compat.ray_tune.trainable import load
from rbt_ray.compat.ray_tune.trial import TrialFolder
from rbt_ray.errors import RbtError, StudyMismatchError
from tests.security.test_nothing_runs import Trap

ROOT = Path(__file__).parents[2]


class Custom:
    """An object that JSON cannot represent."""


class Walk(tune.Trainable):
    """Its state is plain where the config says so, and writes to the trial's folder as users do."""

    def setup(self, config):
        self.n = 0
        folder = Path(self.logdir, "mine")
        folder.mkdir(exist_ok=True)
        (folder / "notes.txt").write_text("notes")

    def step(self):
        self.n += 1
        return {"score": self.n * self.config["x"]}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "more").mkdir()
        Path(checkpoint_dir, "more", "weights.bin").write_bytes(b"weights")
        return {"n": self.n, "weights": np.arange(3.0), "custom": None if self.config["plain"] else Custom()}

    def load_checkpoint(self, checkpoint):
        self.n = checkpoint["n"]


def reports(config):
    for n in range(3):
        folder = Path(f"own-{n}")
        folder.mkdir(exist_ok=True)
        (folder / "state.json").write_text("{}")
        checkpoint = tune.Checkpoint.from_directory(folder.absolute())
        checkpoint.set_metadata({"n": n})
        tune.report({"score": config["x"] * n}, checkpoint=checkpoint)
    if config["x"] == 2:
        raise ValueError("fails after it has reported")


def fit(trainable, space, storage, name):
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

    from rbt_ray.tune import logger

    rays = [CSVLoggerCallback(), JsonLoggerCallback()]
    ours = [logger.CSVLoggerCallback(), logger.JsonLoggerCallback(), logger.TBXLoggerCallback()]
    return tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(metric="score", mode="max", seed=1),
        run_config=tune.RunConfig(
            name=name,
            storage_path=storage,
            stop={"training_iteration": 3},
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=2) if trainable is Walk else None,
            callbacks=rays if name == "rays" else ours,
            num_workers=1,
            backend="local",
            verbose=0,
        ),
    ).fit()


def studies(storage):
    plain = {"x": tune.grid_search([1.0, 2.0]), "plain": True, "data": np.float64(1)}
    fit(Walk, plain, storage, "walk")
    fit(Walk, {"x": 1.0, "plain": False}, storage, "objects")
    fit(reports, {"x": tune.grid_search([1, 2])}, storage, "reports")
    fit(reports, {"x": 1}, storage, "rays")


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """Four studies, run with a umask of 0 by a process of its own."""
    folder = tmp_path_factory.mktemp("tune") / "deep" / "er"
    code = f"import os; os.umask(0)\nfrom tests.security.test_tune_studies import *\nstudies({str(folder)!r})"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, env=env)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes on Windows")
def test_whatever_the_umask_a_study_with_its_checkpoints_and_logs_is_its_owners_alone(storage):
    made = [storage.parent, storage, *storage.rglob("*")]
    names = {path.name for path in made}
    assert {"progress.csv", "result.json", "params.json", "reports.jsonl", "tune.json", "journal.sqlite"} <= names
    assert {"notes.txt", "weights.bin", "state.json", ".metadata.json", ".steps", "checkpoint_000001"} <= names
    assert {"_dict_checkpoint.json", "_dict_checkpoint.npz", "_dict_checkpoint.pkl"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    open_to_others = {str(path): oct(path.stat().st_mode) for path in made if path.stat().st_mode & 0o077}
    assert open_to_others == {}


def test_only_a_checkpoint_that_json_cannot_hold_is_a_pickle(storage):
    pickles = [path for path in storage.rglob("*") if path.is_file() and path.read_bytes()[:1] == b"\x80"]
    found = {(path.relative_to(storage).parts[0], path.name) for path in pickles}
    # Ray Tune's own JSON logger also writes the config as a pickle, which nothing reads.
    assert found == {("objects", "_dict_checkpoint.pkl"), ("rays", "params.pkl")}


def opened(folder, trainable):
    """Opens a study in every way that runs no trial; errors must be messages of rbt_ray."""
    assert run_command(["show", str(folder)]) in (0, 1, 2)
    assert run_command(["show", str(folder), "--json"]) in (0, 1, 2)
    assert run_command(["report", str(folder), "--out", str(folder.with_suffix(".html"))]) in (0, 1, 2)
    tune.Tuner.can_restore(folder)
    try:
        tuner = tune.Tuner.restore(folder, trainable, resume_unfinished=False)
        for results in (tuner.get_results(), tuner.fit()):
            for result in results:
                repr(result)
                assert result.metrics_dataframe is None or len(result.metrics_dataframe)
                for checkpoint, _ in result.best_checkpoints:
                    checkpoint.get_metadata()
            results.get_dataframe()
            results.get_best_result()
            results.get_best_result().get_best_checkpoint("score", "max")
    except RbtError as error:
        return str(error)
    return None


STUDIES = [
    ("objects", Walk),
    pytest.param("walk", Walk, marks=pytest.mark.slow),
    pytest.param("reports", reports, marks=pytest.mark.slow),
]


@pytest.mark.filterwarnings("ignore:the study began with callbacks")
@pytest.mark.parametrize(("name", "trainable"), STUDIES, ids=["objects", "walk", "reports"])
def test_no_file_of_a_study_runs_code_when_the_study_is_opened(storage, tmp_path, capsys, name, trainable):
    """Replaces each file in turn, then all of them, by a pickle that creates a marker file when loaded."""
    mark = tmp_path / "mark"
    trap = pickle.dumps(Trap(mark))
    assert opened(shutil.copytree(storage / name, tmp_path / "whole"), trainable) is None
    files = sorted(path.relative_to(storage / name) for path in (storage / name).rglob("*") if path.is_file())
    for number, replaced in enumerate([*({file.name: file for file in files}.values()), None]):
        folder = shutil.copytree(storage / name, tmp_path / f"replaced-{number}")
        for file in files if replaced is None else [replaced]:
            (folder / file).write_bytes(trap)
        opened(folder, trainable)
        assert not mark.exists(), replaced
    assert "Traceback" not in capsys.readouterr().err


def test_the_trainables_own_path_loads_a_checkpoint_that_is_a_pickle(tmp_path):
    """Also those of older studies, all of which are; so does the trap of these tests go off."""
    old, mark = tmp_path / "old", tmp_path / "mark"
    old.mkdir()
    (old / "_dict_checkpoint.pkl").write_bytes(pickle.dumps({"n": 7}))
    trainable = Walk({"x": 1, "plain": True})
    load(trainable, str(old))
    assert trainable.n == 7
    (old / "_dict_checkpoint.pkl").write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(TypeError):
        load(trainable, str(old))
    assert mark.is_dir()


def test_a_plain_checkpoint_is_read_in_place_of_a_pickle_beside_it(tmp_path):
    mark, trainable = tmp_path / "mark", Walk({"x": 1, "plain": True})
    trainable.step()
    folder = trainable.save(str(tmp_path / "saved")).path
    Path(folder, "_dict_checkpoint.pkl").write_bytes(pickle.dumps(Trap(mark)))
    again = Walk({"x": 1, "plain": True})
    again.restore(folder)
    assert again.n == 1
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["..", "../victim", "/tmp", "a/../../b", "checkpoint_1/../..", ".", "", 3, None, ["x"]]
)
def test_no_report_names_a_checkpoint_outside_of_its_trial(tmp_path, name):
    victim = tmp_path / "victim"
    victim.mkdir()
    records = TrialFolder(tmp_path / "trial", tune.CheckpointConfig(num_to_keep=1))
    held = [{"checkpoint_dir_name": name}, {"checkpoint_dir_name": records.store(2, lambda folder: None).name}]
    assert records.checkpoint(held[0]) is None
    records.prune(held)
    assert victim.is_dir()
    assert records.checkpoint(held[1]) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"prefix": "../../victim"},
        {"prefix": ".."},
        {"names": [[None, "../victim"], [None, "b"]]},
        {"names": [[None, ".."], [None, "b"]]},
        {"scheduler": ["Any", {}]},
        {"scheduler": ["__loader__", {}]},
        {"samples": 3},
        {"checkpoints": {"evil": 1}},
        {"unknown": 1},
    ],
)
def test_a_definition_that_somebody_changed_is_a_sentence(storage, tmp_path, change):
    import json

    plain = json.loads((storage / "walk" / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**plain, **change}))
    with pytest.raises(StudyMismatchError, match="cannot be read as the definition"):
        Definition.load(tmp_path, None, None)
