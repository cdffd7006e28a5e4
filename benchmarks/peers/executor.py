"""`concurrent.futures.ProcessPoolExecutor`, persistent, with chunks."""

from concurrent.futures import ProcessPoolExecutor

import work


def ready(workers):
    executor = ProcessPoolExecutor(workers)

    def run(seconds, n):
        scores = list(executor.map(work.objective(seconds), work.grid(n), chunksize=work.chunk(n, workers)))
        return max(scores), work.numbered(scores)

    return run, executor.shutdown


if __name__ == "__main__":
    work.serve(ready)
