"""Wall time of BOHB at 1 ms an evaluation: rbt_ray, hpbandster's own master, and Ray Tune's TuneBOHB.

    python benchmarks/bohb_wall.py [--quick] [--repeats 10] [--data docs/benchmarks.json]

Each searches the same six numbers with two workers through the same Hyperband brackets (budgets 1 to 27 by 3), in turn, in
one run: an evaluation burns 1 ms of processor time at the full budget and a share of it below. What is timed is a search
once workers are up, from the first suggestion to the last result, and when each result at the full budget came. A shorter
search that ends at a worse loss is no faster one: the searches of a repeat, all with its own seed, are also compared by the
time until each had reached the worst of their last losses. hpbandster's master and Ray Tune are set up as their
documentation advises for speed; hpbandster's suggestions and budgets are turned into plain Python numbers, without which
it stops at numpy 2 (its transport knows no numpy scalars).

hpbandster's dispatcher looks for workers when one tells it to. Told while it looks already, or by a worker that does not
answer yet, it does not look again until its `ping_interval`, by default a minute, is over: until both are found, which is
not timed, it is a second here.
"""

import argparse
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import rbt_ray as rbt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.record import add_data_option, record
from benchmarks.throughput import burn
from rbt_ray.bench import median_with_interval

NAMES = [f"x{i}" for i in range(6)]
FULL_S = 1e-3
BUDGETS = 27
WORKERS_START_S = 120
CONFIGS_A_ROUND = 27 + 9 + 6 + 4


def loss_of(config, share):
    burn(FULL_S * share)
    return sum((config[name] - 0.3) ** 2 for name in NAMES)


def objective(params, data):
    for step in range(BUDGETS):
        start = rbt.get_checkpoint() or 0
        if step >= start:
            rbt.report({"loss": loss_of(params, 1 / BUDGETS)}, checkpoint=step + 1)


class Course:
    """Notes the seconds from its start and the loss of each result at the full budget."""

    def __init__(self):
        self.start, self.seconds, self.losses = time.perf_counter(), [], []

    def note(self, loss):
        self.seconds.append(time.perf_counter() - self.start)
        self.losses.append(loss)

    def on_trial_complete(self, result):
        if result.fidelity == 1:
            self.note(result.metrics["loss"])


def with_rbt_ray(n_rounds, folder, seed):
    course = Course()
    tuner = rbt.Tuner(
        objective,
        param_space={name: rbt.uniform(0.0, 1.0) for name in NAMES},
        tune_config=rbt.TuneConfig(
            metric="loss", mode="min", search_alg="bohb", fidelity="reports", max_reports=BUDGETS, min_fidelity=1 / BUDGETS,
            num_samples=n_rounds * CONFIGS_A_ROUND, seed=seed,
        ),
        run_config=rbt.RunConfig(
            f"b{time.monotonic_ns()}", folder, backend="local", num_workers=2, verbose=0, callbacks=[course]
        ),
    )  # fmt: skip
    course.start = time.perf_counter()
    results = tuner.fit()
    return results.runs[-1].wall_s, len(results), course


def hpbandster_worker(run_id, host, port, number, log):
    from hpbandster.core.worker import Worker

    class Evaluates(Worker):
        def compute(self, config, budget, **_):
            return {"loss": loss_of(config, budget / BUDGETS), "info": None}

    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    Evaluates(run_id=run_id, nameserver=host, nameserver_port=port, id=number, host="127.0.0.1").run()


def wait_for_workers(master, workers, log):
    deadline = time.monotonic() + WORKERS_START_S
    while master.dispatcher.number_of_workers() < len(workers):
        if time.monotonic() > deadline or not all(worker.is_alive() for worker in workers):
            for worker in workers:
                worker.kill()
            print(f"hpbandster's workers ended, or did not register in {WORKERS_START_S} s:", file=sys.stderr)
            print(log.read_text()[-2000:], file=sys.stderr, flush=True)
            os._exit(1)  # its threads would keep the process
        time.sleep(0.05)


def with_hpbandster(n_rounds, folder, seed):
    import ConfigSpace
    from hpbandster.core.nameserver import NameServer
    from hpbandster.optimizers import BOHB

    class PlainNumbers(BOHB):
        def __init__(self, **options):
            super().__init__(**options)
            self.budgets = [float(budget) for budget in self.budgets]
            suggest = self.config_generator.get_config

            def plain(budget):
                config, info = suggest(budget)
                return {name: float(value) for name, value in config.items()}, info

            self.config_generator.get_config = plain

    space = ConfigSpace.ConfigurationSpace(dict.fromkeys(NAMES, (0.0, 1.0)), seed=seed)
    run_id = f"b{time.monotonic_ns()}"
    server = NameServer(run_id=run_id, host="127.0.0.1", port=0, working_directory=folder)
    host, port = server.start()
    spawn = multiprocessing.get_context("spawn")  # a process each, as its documentation has it for parallel runs
    log = Path(folder, f"{run_id}.log")
    workers = [spawn.Process(target=hpbandster_worker, args=(run_id, host, port, number, log)) for number in range(2)]
    for worker in workers:
        worker.start()
    master = PlainNumbers(
        configspace=space, run_id=run_id, nameserver=host, nameserver_port=port, host="127.0.0.1",
        min_budget=1, max_budget=BUDGETS, eta=3, ping_interval=1,
    )  # fmt: skip
    wait_for_workers(master, workers, log)
    master.dispatcher.ping_interval = 60  # its default
    np.random.seed(seed)  # noqa: NPY002 - its generator draws from numpy's global state
    started_at, course = time.time(), Course()
    result = master.run(n_iterations=4 * n_rounds, min_n_workers=2)
    wall = time.perf_counter() - course.start
    master.shutdown(shutdown_workers=True)
    for worker in workers:
        worker.join()
    server.shutdown()
    runs = result.get_all_runs()
    # Its times are in seconds since the master's start.
    began = started_at - result.HB_config["time_ref"]
    whole = sorted((run.time_stamps["finished"] - began, run.loss) for run in runs if run.budget == BUDGETS)
    course.seconds, course.losses = map(list, zip(*whole, strict=True))
    return wall, len(runs), course


def with_ray_tune(n_rounds, folder, seed):
    import ray
    from ray import tune
    from ray.tune.schedulers.hb_bohb import HyperBandForBOHB
    from ray.tune.search.bohb import TuneBOHB

    class Trainable(tune.Trainable):
        def setup(self, config):
            self.params = config

        def reset_config(self, new_config):
            self.params = new_config
            return True

        def step(self):
            return {"loss": loss_of(self.params, 1 / BUDGETS)}

        def save_checkpoint(self, checkpoint_dir):
            return {"step": self.iteration}

        def load_checkpoint(self, checkpoint):
            pass

    class Noted(tune.Callback):
        def on_trial_result(self, iteration, trials, trial, result, **info):
            if result["training_iteration"] == BUDGETS:
                course.note(result["loss"])

    if not ray.is_initialized():
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    course = Course()
    tuner = tune.Tuner(
        Trainable,
        param_space={name: tune.uniform(0.0, 1.0) for name in NAMES},
        tune_config=tune.TuneConfig(
            metric="loss", mode="min", num_samples=n_rounds * CONFIGS_A_ROUND, reuse_actors=True,
            search_alg=TuneBOHB(seed=seed), max_concurrent_trials=2,
            scheduler=HyperBandForBOHB(time_attr="training_iteration", max_t=BUDGETS, reduction_factor=3),
        ),
        run_config=tune.RunConfig(storage_path=folder, name="t", verbose=0, callbacks=[Noted()]),
    )  # fmt: skip
    results = tuner.fit()
    return time.perf_counter() - course.start, len(results), course


def until_equal_loss(searches):
    """Returns by tool the seconds in each repeat until it had reached the worst of the tools' last losses."""
    found = {name: [] for name in searches}
    for repeat in zip(*searches.values(), strict=True):
        target = max(one["best_loss"] for one in repeat)
        for name, one in zip(searches, repeat, strict=True):
            at = zip(one["seconds"], one["losses"], strict=True)
            found[name].append(min(seconds for seconds, loss in at if loss <= target))
    return found


TOOLS = {"rbt_ray": with_rbt_ray, "hpbandster's master": with_hpbandster, "Ray Tune's TuneBOHB": with_ray_tune}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="once each")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument(
        "--rounds", type=int, default=6, help="of Hyperband, 46 new configs each: about a hundred evaluations"
    )
    add_data_option(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1")
    walls: dict[str, list[float]] = {}
    searches: dict[str, list[dict[str, float]]] = {name: [] for name in TOOLS}
    with tempfile.TemporaryDirectory() as folder:
        with_rbt_ray(1, folder, 1)  # starts the workers
        for seed in range(1, 2 if options.quick else options.repeats + 1):
            for name, search in TOOLS.items():
                wall, n, course = search(options.rounds, folder, seed)
                loss = min(course.losses)
                walls.setdefault(name, []).append(wall)
                run = {"wall_s": wall, "trials": n, "best_loss": loss}
                searches[name].append({**run, "seconds": course.seconds, "losses": course.losses})
                print(
                    f"{name:<22} {wall:8.3f} s   {n:4d} trials or runs   best loss {loss:.4f}",
                    file=sys.stderr,
                    flush=True,
                )
    rbt.shutdown()
    for name, seconds in walls.items():
        median, low, high = median_with_interval(seconds)
        ratio = median / statistics.median(walls["rbt_ray"])
        print(f"{name:<22} {median:8.3f} s [{low:.3f}, {high:.3f}]   {ratio:8.1f} times rbt_ray's")
    for name, seconds in until_equal_loss(searches).items():
        median, low, high = median_with_interval(seconds)
        print(f"{name:<22} {median:8.3f} s [{low:.3f}, {high:.3f}]   until the worst of the last losses")
    settings = {"rounds": options.rounds, "configs": options.rounds * CONFIGS_A_ROUND, "budgets": BUDGETS}
    record(options.data, "bohb_wall", {**settings, "searches": searches})


if __name__ == "__main__":
    main()
