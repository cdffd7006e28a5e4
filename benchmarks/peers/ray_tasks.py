"""Ray tasks, many evaluations each."""

import quiet_ray
import work


def ready(workers):
    ray = quiet_ray.start(workers)
    task = ray.remote(work.evaluate_all)

    def run(seconds, n):
        parts = work.pieces(work.grid(n), work.chunk(n, workers))
        scores = [score for part in ray.get([task.remote(seconds, part) for part in parts]) for score in part]
        return max(scores), work.numbered(scores)

    return run, ray.shutdown


if __name__ == "__main__":
    work.serve(ready)
