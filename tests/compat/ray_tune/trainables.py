"""Trainables of these tests, in a module that workers import without Ray."""

import json
import os
import tempfile
import time
from pathlib import Path

from rbt_ray import tune

LOG = "log.txt"


class Counter(tune.Trainable):
    """Counts, and writes down what is called."""

    def setup(self, config):
        self.n = config.get("from", 0)
        self.note("setup")

    def note(self, what):
        with Path(self.config["folder"], LOG).open("a") as log:
            log.write(f"{what} {id(self)} {os.getpid()}\n")

    def step(self):
        self.n += 1
        return {"n": self.n, "iteration": self.iteration, "done": self.n == self.config.get("until")}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "n.json").write_text(json.dumps(self.n))

    def load_checkpoint(self, checkpoint):
        self.n = json.loads(Path(checkpoint, "n.json").read_text())

    def cleanup(self):
        self.note("cleanup")


class Reusable(Counter):
    def reset_config(self, new_config):
        self.n = new_config.get("from", 0)
        self.config = new_config
        self.note("reset")
        return True


class InADict(tune.Trainable):
    def setup(self, config):
        self.n = 0

    def step(self):
        self.n += 1
        if self.n == 3 and self.config["fails"] and self.iteration == 2 and not Path(self.logdir, "failed").exists():
            Path(self.logdir, "failed").touch()
            raise RuntimeError("once")
        return {"n": self.n, "n_before": self.iteration}

    def save_checkpoint(self, checkpoint_dir):
        return {"n": self.n}

    def load_checkpoint(self, checkpoint):
        self.n = checkpoint["n"]


class Demanding(Counter):
    @classmethod
    def default_resource_request(cls, config):
        return {"cpu": 2}


class Wrong(tune.Trainable):
    def step(self):
        return 3


def climb(config):
    for n in range(100):
        tune.report({"n": n, "loss": config["x"] + 10 / (n + 1), "part": {"n": n}})


def endless(config):
    time.sleep(0.01)
    return {"x": 1}


def reports_forever(config):
    while config["x"] < 0.5:  # this one ends when the other has reported a few times
        folders = Path(tune.get_context().get_trial_dir()).parent.glob("*/reports.jsonl")
        if any(len(file.read_text().splitlines()) > 9 for file in folders):
            tune.report({"n": -1, "x": config["x"], "done": True})
        time.sleep(0.02)
    for n in range(1_000_000):
        tune.report({"n": n, "x": config["x"]})
        time.sleep(0.02)


def line(config):
    """As good as `x` from the first report on: who wins is known beforehand."""
    step = 0
    if checkpoint := tune.get_checkpoint():
        step = json.loads(Path(checkpoint.path, "step.json").read_text())
    for n in range(step, config.get("until", 10_000)):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "step.json").write_text(json.dumps(n + 1))
            tune.report(
                {"score": config["x"] + n / 1e6, "step": n + 1, "began_at": step},
                checkpoint=tune.Checkpoint.from_directory(folder) if config.get("saves") else None,
            )


def line_unless_broken(config):
    if Path(config["broken"]).exists():
        raise RuntimeError("broken")
    line(config)


class Line(tune.Trainable):
    def setup(self, config):
        self.n = self.began_at = 0

    def step(self):
        self.n += 1
        return {"score": self.config["x"], "step": self.n, "began_at": self.began_at}

    def save_checkpoint(self, checkpoint_dir):
        return {"n": self.n}

    def load_checkpoint(self, checkpoint):
        self.n = self.began_at = checkpoint["n"]


class AfterTwo(tune.Stopper):
    """As in Ray Tune's documentation: decides by something other than a trial's own reports."""

    def __init__(self):
        self.seen = set()

    def __call__(self, trial_id, result):
        self.seen.add(trial_id)
        return False

    def stop_all(self):
        return len(self.seen) >= 2


def bowl(config):
    for n in range(config["steps"]):
        tune.report({"loss": config["x"] ** 2 + 1 / (n + 10)})
