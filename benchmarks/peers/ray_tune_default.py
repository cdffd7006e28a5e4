"""Ray Tune with defaults: a function trainable and all loggers."""

import os
import tempfile

import quiet_ray
import work


def table_of(results):
    return {result.config["n"]: result.metrics["score"] for result in results}


def ready(workers):
    ray = quiet_ray.start(workers)
    from ray import tune

    folder = tempfile.TemporaryDirectory()

    def run(seconds, n):
        def trainable(config):
            tune.report({"score": work.evaluate(seconds, config)})

        results = tune.Tuner(
            trainable,
            param_space={"n": tune.grid_search(list(range(n)))},
            tune_config=tune.TuneConfig(metric="score", mode="max"),
            run_config=tune.RunConfig(storage_path=folder.name, verbose=0),
        ).fit()
        return results.get_best_result().metrics["score"], lambda: table_of(results)

    def close():
        ray.shutdown()
        os.chdir("/")
        folder.cleanup()

    return run, close


if __name__ == "__main__":
    work.serve(ready)
