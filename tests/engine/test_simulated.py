"""The engine on simulated workers and a virtual clock gives the same table as on real ones, whatever is lost."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import rbt_ray as rbt
from benchmarks.simulated_pool import Faults, SimulatedPool, Transport, VirtualClock
from rbt_ray.engine import loop
from rbt_ray.engine.dispatcher import Dispatcher
from rbt_ray.engine.progress import Progress
from rbt_ray.engine.stop_conditions import Interrupt, StopConditions
from rbt_ray.pool.job import Task
from rbt_ray.pool.worker import Worker
from rbt_ray.search.registry import make_searcher
from rbt_ray.store.journal import Journal
from rbt_ray.store.table import table_of
from rbt_ray.types import COMPLETED, FAILED, TIMED_OUT, Proposal

MANY_RETRIES = 10**6  # so that no trial is blamed for a worker that died by chance
OFTEN = Faults(worker_s=1.0, host_s=5.0, back_s=0.5, workers_per_host=4)


class Hill:
    """A searcher whose proposals depend on every result and on their order."""

    def __init__(self, n):
        self.left, self.at, self.told = n, 0.5, 0

    @property
    def done(self):
        return self.left == 0

    def ask(self, n):
        n = min(n, self.left)
        self.left -= n
        proposals = []
        for _ in range(n):
            self.at = (self.at * 1.37 + 0.11) % 1.0
            proposals.append(Proposal({"x": self.at, "n": int(97 * self.at)}))
        return proposals

    def tell(self, results):
        for result in results:
            self.told += 1
            self.at = (self.at + (0.3 if result.loss is None else result.loss / 50) / self.told) % 1.0


def objective(params, data):
    if params["n"] % 7 == 3:
        raise ValueError("seven")
    for step in range(27):
        rbt.report({"score": params["x"] * params["n"] + 1 / (step + 1)})
    return {"score": float("nan") if params["n"] % 11 == 5 else params["x"] * params["n"], "even": params["n"] % 2 == 0}


SPACE = {"x": rbt.uniform(0, 1), "n": rbt.randint(0, 100)}


def tuner(folder, search, n, **config):
    return rbt.Tuner(
        objective,
        param_space=SPACE,
        tune_config=rbt.TuneConfig(
            metric="score", search_alg=Hill(n) if search == "hill" else search, num_samples=n, seed=3, **config
        ),
        run_config=rbt.RunConfig(name="local", storage_path=folder, num_workers=2, verbose=0),
    )


def simulate(folder, study, search, n_workers, *, faults=None, seconds=(0.01,), timeout=None, transport=None):
    """Runs a study on simulated workers with the real objective; returns its table, the pool and the clock."""
    folder.mkdir()
    clock = VirtualClock(charge=False)
    job = Task(objective, study.space, study.metric, study.seed, None, 0, max_reports=study.max_reports).pack()
    worker = Worker("simulated")
    worker.load(job)
    pool = SimulatedPool(
        n_workers, clock, np.array(seconds), lambda batch: worker.run(batch).answer, faults=faults, transport=transport
    )
    searcher = make_searcher(study, Hill(study.num_samples) if search == "hill" else None)
    dispatcher = Dispatcher(pool, job, trial_timeout_s=timeout, max_retries=MANY_RETRIES, clock=clock)
    with closing(Journal.create(folder, study.to_json())) as journal:
        progress = Progress(study, clock=clock)
        reason = loop.run(
            study, searcher, dispatcher, journal, StopConditions(None, None, Interrupt()), progress, lambda event: None
        )
        assert reason == "done"
        clock.hold()
        return table_of(journal.read(), study), pool, clock


@pytest.mark.slow
@pytest.mark.parametrize(("search", "n"), [("random", 300), ("hill", 250)])
def test_simulated_workers_give_the_local_pools_table_also_when_they_die(tmp_path, search, n):
    real = tuner(tmp_path, search, n)
    expected = real.fit().table_hash()
    calm, pool, _ = simulate(tmp_path / "calm", real.study, search, 8)
    assert calm.hash() == expected
    assert pool.n_lost == 0
    stormy, pool, _ = simulate(tmp_path / "stormy", real.study, search, 8, faults=OFTEN, seconds=(0.01, 0.05, 0.4))
    assert stormy.hash() == expected
    assert pool.n_lost > 10
    assert {COMPLETED, FAILED} == set(stormy.outcomes.status.tolist())


CLIMBING = {"fidelity": "reports", "max_reports": 27, "max_pending": 128, "mode": "min"}


@pytest.mark.parametrize(
    "settings",
    [
        {"search": "bohb"},
        {"search": "random", "scheduler": "asha"},
        pytest.param({"search": "random", "scheduler": rbt.ASHA(kind="stopping")}, marks=pytest.mark.slow),
        pytest.param({"search": "sobol", "scheduler": "hyperband"}, marks=pytest.mark.slow),
        pytest.param({"search": "random", "scheduler": "median"}, marks=pytest.mark.slow),
        pytest.param({"search": "tpe", "scheduler": "successive_halving"}, marks=pytest.mark.slow),
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_multi_fidelity_searches_give_the_same_table_with_1_and_64_workers(tmp_path, settings):
    search = settings.pop("search")
    study = tuner(tmp_path, search, 150, **CLIMBING, **settings).study
    tables = [
        simulate(tmp_path / name, study, search, n, faults=faults, seconds=(0.01, 0.05, 0.4))[0]
        for name, n, faults in (("one", 1, None), ("calm", 64, None), ("stormy", 64, OFTEN))
    ]
    assert len({table.hash() for table in tables}) == 1
    assert len(np.unique(tables[0].fidelity)) > 1


@pytest.mark.slow
@pytest.mark.parametrize(("n_workers", "n"), [(50, 1_200), (1_000, 20_000)])
def test_every_trial_is_recorded_once_with_many_failing_workers(tmp_path, n_workers, n):
    study = tuner(tmp_path, "random", n).study
    rng = np.random.default_rng(0)
    seconds = rng.lognormal(-2, 0.5, 4096)
    seconds[::100] *= 10
    faults = Faults(worker_s=20.0, host_s=60.0, back_s=5.0, workers_per_host=16)
    table, pool, clock = simulate(tmp_path / "a", study, "random", n_workers, faults=faults, seconds=seconds)
    assert table.trials.tolist() == list(range(n))
    assert pool.n_lost > n_workers / 10
    again, _, clock_again = simulate(tmp_path / "b", study, "random", n_workers, faults=faults, seconds=seconds)
    assert clock_again.now == clock.now, "with the driver's time left out, all follows from the seeds"
    assert again.hash() == table.hash()
    assert again.batches.tolist() == table.batches.tolist()


def test_a_worker_evaluates_one_batch_at_a_time_for_as_long_as_its_trials_take(tmp_path):
    study = tuner(tmp_path, "random", 1_250).study
    table, pool, clock = simulate(tmp_path / "a", study, "random", 25, seconds=np.linspace(0.01, 0.2, 1000))
    for worker in range(25):
        start, wall_s = table.batches[table.batches[:, 0] == worker][:, 1:3].T
        order = np.argsort(start)
        assert (start[order][1:] >= (start + wall_s)[order][:-1] - 1e-9).all()
    slowness = table.outcomes.duration_s / np.linspace(0.01, 0.2, 1000)[table.trials % 1000]
    for worker in range(25):
        np.testing.assert_allclose(slowness[table.worker == worker], slowness[table.worker == worker][0])
    busy = table.outcomes.duration_s.sum()
    assert busy / 25 <= clock.now <= busy / 25 / 0.8
    np.testing.assert_allclose(sum(pool.ended) - sum(pool.begun), busy)


def test_a_search_that_learns_has_batches_large_enough_for_the_driver(tmp_path):
    study = tuner(tmp_path, "bohb", 4_000, max_pending=800).study
    _, pool, clock = simulate(tmp_path / "a", study, "bohb", 40, seconds=(0.005,))
    busy = np.sum(pool.ended) - np.sum(pool.begun)
    assert len(pool.trials) / clock.now < 1_200, "40 workers evaluate 8,000 per second"
    assert busy > 0.85 * 40 * clock.now, "no worker waits while another has them all"


def test_no_more_batches_are_in_flight_than_the_transport_can_carry(tmp_path):
    study = tuner(tmp_path, "random", 500).study
    slow = Transport(calls_per_s=100.0, batch_seconds=0.001)
    _, pool, clock = simulate(tmp_path / "a", study, "random", 100, seconds=(0.01,), transport=slow)
    n = len(pool.ended)
    assert n / 100 <= clock.now <= n / 100 + 0.1


def test_a_trial_that_times_out_by_the_virtual_clock_is_ended_and_its_batch_mates_finish(tmp_path):
    study = tuner(tmp_path, "random", 1_000).study
    seconds = np.full(1_000, 0.05)
    seconds[[77, 500]] = 3_600.0
    table, _, clock = simulate(tmp_path / "a", study, "random", 20, seconds=seconds, timeout=1.0)
    assert np.flatnonzero(table.outcomes.status == TIMED_OUT).tolist() == [77, 500]
    assert table.trials.tolist() == list(range(1_000))
    assert clock.now < 60


@pytest.mark.slow
def test_the_benchmark_runs_and_writes_its_table(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- scale.py -->\nold\n<!-- end of scale.py -->\nafter\n")
    script = Path(__file__).parents[2] / "benchmarks" / "scale.py"
    command = [sys.executable, str(script), "--quick", "--cases", "100:0.1:64", "--write", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if " | " in line][1:]
    searchers = ["random", "grid", "auto", "bohb", "learning"]
    assert [row[0] for row in rows] == searchers
    lines = page.read_text().splitlines()
    assert [lines[0], lines[-2], lines[-1]] == ["before", "<!-- end of scale.py -->", "after"]
    assert [line.split("`")[1] for line in lines if line.startswith("| `")] == searchers
