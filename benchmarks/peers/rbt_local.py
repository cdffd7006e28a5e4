"""rbt_ray on local processes: `Tuner.fit` of a plain function, journal and all."""

import tempfile
import time

import work

import rbt_ray as rbt

BACKEND = "local"


def objective(seconds):
    def evaluate(params, data):
        return work.evaluate(seconds, params)

    return evaluate


def ready(workers, backend=BACKEND):
    folder = tempfile.TemporaryDirectory()

    def run(seconds, n):
        results = rbt.Tuner(
            objective(seconds),
            param_space={"n": rbt.randint(0, n)},
            tune_config=rbt.TuneConfig(metric="score", search_alg="grid"),
            run_config=rbt.RunConfig(
                name=f"s{time.monotonic_ns()}", storage_path=folder.name, backend=backend, num_workers=workers, verbose=0,
                recheck=0,
            ),
        ).fit()  # fmt: skip
        best = results.get_best_result().metrics["score"]
        return best, lambda: {result.config["n"]: result.metrics["score"] for result in results}

    def close():
        rbt.shutdown()
        folder.cleanup()

    return run, close


if __name__ == "__main__":
    work.serve(ready)
