"""Ray Tune at its best: a class with `reset_config`, actors reused, loggers and snapshots of its state off."""

import os
import tempfile
import time

import quiet_ray
import ray_tune_default
import work


def ready(workers):
    os.environ.update(TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", TUNE_GLOBAL_CHECKPOINT_S="600")
    ray = quiet_ray.start(workers)
    from ray import tune

    folder = tempfile.TemporaryDirectory()

    def run(seconds, n):
        class Trainable(tune.Trainable):
            def setup(self, config):
                self.params = config

            def reset_config(self, new_config):
                self.params = new_config
                return True

            def step(self):
                return {"score": work.evaluate(seconds, self.params), "done": True}

        results = tune.Tuner(
            Trainable,
            param_space={"n": tune.grid_search(list(range(n)))},
            tune_config=tune.TuneConfig(metric="score", mode="max", reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=folder.name, name=f"t{time.monotonic_ns()}", verbose=0, callbacks=[],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()  # fmt: skip
        return results.get_best_result().metrics["score"], lambda: ray_tune_default.table_of(results)

    def close():
        ray.shutdown()
        folder.cleanup()

    return run, close


if __name__ == "__main__":
    work.serve(ready)
