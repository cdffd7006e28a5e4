"""Optuna's TPE, `n_jobs` threads, in-memory storage, its log off."""

from functools import partial

import optuna
import optuna_random
import work

if __name__ == "__main__":
    work.serve(partial(optuna_random.ready, sampler=optuna.samplers.TPESampler))
