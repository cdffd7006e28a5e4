"""`multiprocessing.Pool`, persistent over batches."""

from multiprocessing import Pool

import work


def ready(workers):
    pool = Pool(workers)

    def run(seconds, n):
        scores = pool.map(work.objective(seconds), work.grid(n), work.chunk(n, workers))
        return max(scores), work.numbered(scores)

    return run, pool.terminate


if __name__ == "__main__":
    work.serve(ready)
