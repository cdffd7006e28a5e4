"""Optuna's random sampler, `n_jobs` threads, in-memory storage, its log off."""

import optuna
import work


def ready(workers, sampler=optuna.samplers.RandomSampler):
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def run(seconds, n):
        study = optuna.create_study(direction="maximize", sampler=sampler(seed=0))
        study.optimize(
            lambda trial: work.evaluate(seconds, {"n": trial.suggest_int("n", 0, 10**9)}), n_trials=n, n_jobs=workers
        )
        return study.best_value, lambda: {trial.params["n"]: trial.value for trial in study.trials}

    return run, lambda: None


if __name__ == "__main__":
    work.serve(ready)
