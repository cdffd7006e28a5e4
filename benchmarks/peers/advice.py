"""How each peer was run, and the advice of its own documentation for speed."""

PYTHON = "https://docs.python.org/3/library"
RAY = "https://docs.ray.io/en/latest"
OPTUNA = "https://optuna.readthedocs.io/en/stable"

NAMES = {
    "rbt_local": "rbt_ray, local",
    "rbt_on_ray": "rbt_ray, Ray",
    "pool_kept": "Pool, kept",
    "pool_anew": "Pool, anew",
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
    "rbt_on_ray": ("the same on a Ray of its own", None),
    "pool_kept": ("`map` with eight chunks a worker", f"{PYTHON}/multiprocessing.html#multiprocessing.pool.Pool.map"),
    "pool_anew": (
        "the same in a `with` for every batch",
        f"{PYTHON}/multiprocessing.html#multiprocessing.pool.Pool.map",
    ),
    "executor": (
        "`map` with `chunksize`, which its page says is much faster than 1 for long iterables",
        f"{PYTHON}/concurrent.futures.html#concurrent.futures.Executor.map",
    ),
    "joblib_loky": (
        "one `Parallel` kept open by `with`, batches sized by itself",
        "https://joblib.readthedocs.io/en/stable/parallel.html#reusing-a-pool-of-workers",
    ),
    "rustybt_pool": ("`run_batch` with eight chunks a worker", "https://pypi.org/project/rustybt/0.3.3/"),
    "ray_tasks": (
        "eight tasks a worker, many evaluations each",
        f"{RAY}/ray-core/patterns/too-fine-grained-tasks.html",
    ),
    "ray_actor_pool": (
        "two actors, eight calls each",
        f"{RAY}/ray-core/patterns/too-fine-grained-tasks.html",
    ),
    "rustybt_optimizer": (
        "`batch_size=64`, workers that live on, no progress bar; it looks for results every 10 ms",
        "https://pypi.org/project/rustybt/0.3.3/",
    ),
    "optuna_random": (
        "`n_jobs=2`, which are threads of one process, storage in memory",
        f"{OPTUNA}/tutorial/10_key_features/004_distributed.html",
    ),
    "optuna_tpe": ("the same with its default sampler", f"{OPTUNA}/tutorial/10_key_features/004_distributed.html"),
    "ray_tune_best": (
        "a class with `reset_config`, `reuse_actors`, no loggers, no snapshots, no checkpoint at the end",
        f"{RAY}/tune/tutorials/tune-scalability.html",
    ),
    "ray_tune_default": ("a function, everything as it comes", f"{RAY}/tune/tutorials/tune-run.html"),
}

BEHIND = {
    "warm": (
        "The function is the same and so are the processes: a kept pool does nothing but carry it. On top of that rbt_ray "
        "puts back what a trial may have changed around it, catches what it raises, times it, writes it to disk before "
        "anybody acts on it, and grows its batches from one. That is about 2 µs an evaluation on the worker and 7 to 15 ms a "
        "study, of which a journal's file takes 3 and the best result's table 1 to 6."
    ),
    "cold": (
        "A forked pool imports nothing but the script, which here needs no numpy. rbt_ray imports itself and numpy in two "
        "processes, 0.2 s; a study that reads prices has its workers load numba and the compiled kernels, too, 0.3 s more. On "
        "Ray, Ray's own start is the most of it for everybody."
    ),
}
