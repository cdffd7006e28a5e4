"""A strategy in files of its own, and functions that edit these files while studies run."""

import textwrap

import rbt_ray as rbt

BEFORE = {
    "own_helper.py": """
        RATE = 3
        WEIGHTS = {"a": 1, "b": [1, 2]}
        SETS = frozenset({"x", "y", "z"})

        def helper(x, power=2):
            return x ** power * RATE

        def by_rate(rate):
            def scaled(x):
                return x * rate
            return scaled

        def unused():
            return 1
    """,
    "own_strategy.py": """
        import functools, numpy as np, os
        from pathlib import Path
        import own_helper
        from own_helper import WEIGHTS, helper

        HERE = Path(__file__).parent / "prices.csv"
        scaled = own_helper.by_rate(5)
        _memo = {}
        _calls = 0
        lock = __import__("threading").Lock()

        class Score:
            unit = 1.0

            def __init__(self, fee, prices=(1.0, 2.0)):
                self.fee, self.prices, self.seen = fee, np.array(prices), []

            def __call__(self, params, data):
                global _calls
                _calls += 1
                with lock:
                    self.seen.append(params["x"])
                    if params["x"] not in _memo:
                        _memo[params["x"]] = helper(params["x"])
                return float(_memo[params["x"]] + scaled(1) + self.fee * self.cost() + WEIGHTS["a"] + self.prices[0] + len(str(HERE)))

            def cost(self):
                return 2 * self.unit

        def plain(params, data, cost=1):
            return helper(params["x"]) + cost

        def make(fee, table):
            def objective(params, data):
                return fee * params["x"] + len(table)
            return objective
    """,
}


def write(folder, files, values):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(textwrap.dedent(text).format(**values))


def written(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(textwrap.dedent(text))


def edited(tmp_path, name, old, new):
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new))


def quiet(tmp_path, **kw):
    return rbt.RunConfig(**{"name": "study", "storage_path": tmp_path, "num_workers": 1, "verbose": 0, **kw})


SCORE = rbt.TuneConfig(metric="score")


def tuner_arguments(tmp_path, name="study"):
    return {"param_space": {"x": rbt.randint(0, 3)}, "run_config": quiet(tmp_path, name=name), "tune_config": SCORE}


class Save:
    """Calls a function once so many trials are recorded."""

    def __init__(self, after, save):
        self.left, self.save = after, save

    def on_trial_complete(self, result):
        self.left -= 1
        if self.left == 0:
            self.save()


class Stop(Exception):
    pass


def raise_stop():
    raise Stop
