"""Ray's `ActorPool`, many evaluations a call."""

import quiet_ray
import work


class Evaluator:
    def evaluate_all(self, seconds, configs):
        return work.evaluate_all(seconds, configs)


def ready(workers):
    ray = quiet_ray.start(workers)
    from ray.util import ActorPool

    actor = ray.remote(Evaluator)
    pool = ActorPool([actor.remote() for _ in range(workers)])

    def run(seconds, n):
        parts = work.pieces(work.grid(n), work.chunk(n, workers))
        found = pool.map(lambda one, part: one.evaluate_all.remote(seconds, part), parts)
        scores = [score for part in found for score in part]
        return max(scores), work.numbered(scores)

    return run, ray.shutdown


if __name__ == "__main__":
    work.serve(ready)
