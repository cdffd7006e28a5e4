"""How each peer was run, and the advice of its own documentation for speed."""

PYTHON = "https://docs.python.org/3/library"
RAY = "https://docs.ray.io/en/latest"
OPTUNA = "https://optuna.readthedocs.io/en/stable"

NAMES = {
    "rbt_local": "rbt_ray, local",
    "rbt_on_ray": "rbt_ray, Ray",
    "pool_kept": "Pool, reused",
    "pool_anew": "Pool, new per batch",
    "executor": "ProcessPoolExecutor",
    "joblib_loky": "joblib, loky",
    "rustybt_pool": "RustyBT's PersistentWorkerPool",
    "ray_tasks": "Ray tasks",
    "ray_actor_pool": "Ray ActorPool",
    "rustybt_optimizer": "RustyBT's ParallelOptimizer",
    "optuna_random": "Optuna, random",
    "optuna_tpe": "Optuna, TPE",
    "ray_tune_best": "Ray Tune at its best",
    "ray_tune_default": "Ray Tune by default",
}

ADVICE = {
    "rbt_local": ("a plain function, grid search, journal on disk", None),
    "rbt_on_ray": ("the same on its own Ray", None),
    "pool_kept": ("`map` with eight chunks per worker", f"{PYTHON}/multiprocessing.html#multiprocessing.pool.Pool.map"),
    "pool_anew": (
        "the same with a new pool for each batch",
        f"{PYTHON}/multiprocessing.html#multiprocessing.pool.Pool.map",
    ),
    "executor": (
        "`map` with `chunksize`, which its documentation calls much faster than 1 for long iterables",
        f"{PYTHON}/concurrent.futures.html#concurrent.futures.Executor.map",
    ),
    "joblib_loky": (
        "one `Parallel` in a `with` block, with automatic batch sizes",
        "https://joblib.readthedocs.io/en/stable/parallel.html#reusing-a-pool-of-workers",
    ),
    "rustybt_pool": ("`run_batch` with eight chunks per worker", "https://pypi.org/project/rustybt/0.3.3/"),
    "ray_tasks": (
        "eight tasks per worker, with many evaluations each",
        f"{RAY}/ray-core/patterns/too-fine-grained-tasks.html",
    ),
    "ray_actor_pool": (
        "two actors, with eight calls each",
        f"{RAY}/ray-core/patterns/too-fine-grained-tasks.html",
    ),
    "rustybt_optimizer": (
        "`batch_size=64`, persistent workers, no progress bar; it polls for results every 10 ms",
        "https://pypi.org/project/rustybt/0.3.3/",
    ),
    "optuna_random": (
        "`n_jobs=2`, which uses threads of one process, storage in memory",
        f"{OPTUNA}/tutorial/10_key_features/004_distributed.html",
    ),
    "optuna_tpe": ("the same with its default sampler", f"{OPTUNA}/tutorial/10_key_features/004_distributed.html"),
    "ray_tune_best": (
        "a class with `reset_config`, `reuse_actors`, no loggers, no snapshots, no checkpoint at the end",
        f"{RAY}/tune/tutorials/tune-scalability.html",
    ),
    "ray_tune_default": ("a function with default settings", f"{RAY}/tune/tutorials/tune-run.html"),
}

BEHIND = {
    "warm": (
        "The function and the processes are the same, and a reused pool only transports calls. rbt_ray also restores the state "
        "that a trial may have changed, catches exceptions, measures times, writes results to disk before using them, and grows "
        "its batches from one trial. This costs about 2 µs per evaluation on the worker and 7 to 15 ms per study, of which the "
        "journal's file takes 3 and the best result's table 1 to 6."
    ),
    "cold": (
        "A forked pool imports only the script, which does not need numpy. rbt_ray imports itself and numpy in two processes, "
        "which takes 0.2 s. For a study that reads prices, workers also load numba and the compiled kernels, which takes 0.3 s "
        "more. On Ray, starting Ray takes most of the time of all tools."
    ),
}
