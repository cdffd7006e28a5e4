"""joblib with loky: one `Parallel` kept open, whose batches size themselves."""

import work
from joblib import Parallel, delayed


def ready(workers):
    parallel = Parallel(n_jobs=workers)
    parallel.__enter__()

    def run(seconds, n):
        scores = parallel(delayed(work.evaluate)(seconds, params) for params in work.grid(n))
        return max(scores), work.numbered(scores)

    return run, lambda: parallel.__exit__(None, None, None)


if __name__ == "__main__":
    work.serve(ready)
