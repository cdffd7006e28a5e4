"""Studies in real journals, as a run would write them, and a parser for their reports."""

import html.parser
import json
import re

import numpy as np
import pytest

import rbt_ray as rbt
from rbt_ray.columns import Outcomes
from rbt_ray.metric_columns import Column
from rbt_ray.store.journal import Ended, Finished, Journal, Reviewed
from rbt_ray.study.space import Space
from rbt_ray.study.study import Address, BundleId, Study
from rbt_ray.tuner.result_grid import ResultGrid
from rbt_ray.types import COMPLETED, CRASHED, FAILED

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
# Nested names are joined by "/", so that this one becomes "</script>".
HOSTILE_NAMES = ("a <", "script><script>document.title='owned'<", "script><img src=x onerror=alert(1)>")


def write(
    folder,
    param_space,
    points,
    metrics,
    *,
    metric="sharpe",
    mode="max",
    name="study",
    errors=None,
    status=None,
    fidelity=None,
    batch=64,
    n_workers=2,
    bundle=None,
    review=None,
    runs=(("done", 12.5),),
    started=1_700_000_000.0,
    objective=None,
):
    """A finished study. `errors`: by row; `status`: of rows with errors; `fidelity`: by batch."""
    space = Space.of(param_space)
    study = Study(
        name=name,
        space=space,
        metric=metric,
        mode=mode,
        search_alg="grid",
        num_samples=None,
        seed=7,
        max_pending=2**17,
        deterministic=True,
        objective=objective or Address("mine:objective", {}, "", "f" * 64),
        bundle=bundle,
    )
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal.create(folder, study.to_json())
    errors, status = errors or {}, status or {}
    n, clock = len(points), [started] * n_workers
    for number, begin in enumerate(range(0, n, batch)):
        rows = np.arange(begin, min(begin + batch, n))
        failed = np.array([int(row) in errors for row in rows])
        code = np.array(
            [status.get(int(row), FAILED) if bad else COMPLETED for row, bad in zip(rows, failed, strict=True)],
            np.uint8,
        )
        columns = {key: Column.of([plain(values[row]) for row in rows], ~failed) for key, values in metrics.items()}
        told = {place: errors[int(row)] for place, row in enumerate(rows) if int(row) in errors}
        outcomes = Outcomes(code, columns, told, np.full(len(rows), 0.01))
        worker, took = number % n_workers, 0.01 * len(rows)
        share = 1.0 if fidelity is None else fidelity[number]
        journal.append(Finished(rows, points[rows], share, outcomes, f"local-{worker}", clock[worker], took, took))
        clock[worker] += took + 0.002
    if review is not None:
        journal.append(review)
    for reason, wall_s in runs:
        journal.append(Ended(reason, wall_s, n_workers, "local"))
    journal.close()
    return ResultGrid(folder)


def plain(value):
    return value.item() if isinstance(value, np.generic) else value


def curves_of(rng, n_bars):
    """Wealth of two on `n_bars` days."""
    days = np.arange(n_bars) * 86_400_000.0 + 1e12
    best, market = (np.cumprod(1 + rng.normal(0.0006, 0.012, n_bars)) for _ in range(2))
    return {"time_ms": days, "equity": best, "buy_and_hold": market}


def reviewed(results, curves, *, fall=0.4):
    """A review in which the hold-out is worse by `fall`."""
    rows = []
    for row in results.table.ranking(10):
        result = results[int(row)]
        score = result.metrics[results.study.metric]
        more = {"total_return": 0.5, "max_drawdown": -0.2, "n_trades": 31}
        rows.append(
            {
                "trial": result.trial_id,
                "config": result.config,
                "sweep": result.metrics,
                "order_level": {"sharpe": score - 0.01, **more},
                "holdout": {"sharpe": score - fall, **more},
                "holdout_order_level": {"sharpe": score - fall - 0.01, **more},
                "error": None,
            }
        )
    return Reviewed(rows, curves)


def crossings(folder, rng, **more):
    """Every combination of two windows, with a review and a quarter of the bars held out."""
    param_space = {"fast": rbt.randint(5, 25), "slow": rbt.randint(30, 110)}
    space = Space.of(param_space)
    points = space.grid(0, space.grid_size)
    sharpe = 1.1 - ((points[:, 0] - 12) / 18) ** 2 - ((points[:, 1] - 60) / 45) ** 2 + rng.normal(0, 0.08, len(points))
    metrics = {"sharpe": sharpe, "total_return": sharpe / 3, "max_drawdown": -0.1 - rng.random(len(points)) / 5}
    bundle = BundleId("sample", "a" * 64, 2_000, 1_500)
    given = {"metrics": metrics, "bundle": bundle, "name": "crossings", **more}
    first = write(folder / "unreviewed", param_space, points, **given)
    review = reviewed(first, curves_of(rng, 2_000))
    return write(folder / "study", param_space, points, review=review, **given)


def mixed(folder, rng, n=3_000, *, hostile=False):
    """Six parameters of every kind, some inactive, with failures and a crash."""
    bad = HOSTILE if hostile else "x"
    param_space = {
        "kind": rbt.choice([f"option {bad}", "plain", None]),
        "opt": {"lr": rbt.loguniform(1e-5, 1e-1), "warm": rbt.choice([True, False])},
        "window": rbt.choice([5, 10, 20, 50]),
        "share": rbt.uniform(0.0, 1.0),
        "step": rbt.quniform(0.0, 1.0, 0.25),
        "fixed": bad,
    }
    if hostile:
        param_space = {HOSTILE_NAMES[0]: {HOSTILE_NAMES[1]: {HOSTILE_NAMES[2]: param_space.pop("kind")}}, **param_space}
    space = Space.of(param_space)
    points = space.from_unit(rng.random((n, space.n_params)))
    points[rng.random(n) < 0.2, 1] = np.nan  # as a condition would leave it
    metrics = {"sharpe": rng.normal(0.0, 0.5, n) + points[:, 4], "kind": np.array(["a"] * n, object)}
    last = f"ValueError: {bad} %{{x}} <b>not bold</b>"
    errors = {
        int(row): f"Traceback (most recent call last):\n  File 'x.py', line 3\n{last}" for row in range(10, n, 97)
    }
    errors[11] = "killed by signal 11 (SIGSEGV)"
    name = f"mixed {bad}" if hostile else "mixed"
    return write(folder, param_space, points, metrics, errors=errors, status={11: CRASHED}, name=name)


class _Page(html.parser.HTMLParser):
    """Parses a page into its scripts, its other text and the cells of its ranking."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.texts, self.trials, self.tags, self._script = [], [], {}, [], False
        self._row = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag in ("script", "style"):
            self._script = True
            self.scripts.append(("type" in attrs and attrs["type"], ""))
        if "data-trial" in attrs:
            self._row = self.trials.setdefault(int(attrs["data-trial"]), {})
        if "data-name" in attrs:
            self._row[attrs["data-name"]] = json.loads(attrs["data-value"])

    def handle_endtag(self, tag):
        self._script = self._script and tag not in ("script", "style")

    def handle_data(self, data):
        if self._script:
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        else:
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.texts))

    @property
    def figures(self):
        (text,) = [text for kind, text in self.scripts if kind == "application/json"]
        return json.loads(text)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def write_study():
    return write


@pytest.fixture
def write_crossings():
    return crossings


@pytest.fixture
def write_mixed():
    return mixed


@pytest.fixture
def read_page():
    return _Page


@pytest.fixture
def hostile_text():
    return HOSTILE
