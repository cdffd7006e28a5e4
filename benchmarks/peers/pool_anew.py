"""`multiprocessing.Pool`, new for each batch."""

from multiprocessing import Pool

import work


def ready(workers):
    def run(seconds, n):
        with Pool(workers) as pool:
            scores = pool.map(work.objective(seconds), work.grid(n), work.chunk(n, workers))
        return max(scores), work.numbered(scores)

    return run, lambda: None


if __name__ == "__main__":
    work.serve(ready)
