"""The objective of the study in this folder, which was begun when fingerprints were of the objective's own source."""

import time


def score(x):
    return (x * 37) % 101


def objective(params, data):
    time.sleep(0.001)
    return {"score": score(params["x"])}
