"""Trainables of recorded studies that name rbt_ray's functions and classes directly."""

import json
from pathlib import Path

from rbt_ray.tune import Checkpoint, Trainable, get_checkpoint, report


def function(config):
    for step in range(3):
        report({"loss": config["x"] * (step + 1)})


class Counting(Trainable):
    def setup(self, config):
        self.x, self.n = config["x"], 0

    def step(self):
        self.n += 1
        return {"loss": self.x / self.n}

    def save_checkpoint(self, checkpoint_dir):
        Path(checkpoint_dir, "n.json").write_text(json.dumps(self.n))

    def load_checkpoint(self, checkpoint):
        self.n = json.loads(Path(checkpoint, "n.json").read_text())


def resuming(config):
    assert Checkpoint
    assert get_checkpoint() is None
    report({"loss": config["x"]})
