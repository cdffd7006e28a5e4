"""RustyBT's `ParallelOptimizer` with its grid search, its persistent pool, and batches and workers' lives made long."""

import rustybt_pool
import work
from rustybt.optimization import parallel_optimizer
from rustybt.optimization.parameter_space import DiscreteParameter, ParameterSpace
from rustybt.optimization.search.grid_search import GridSearchAlgorithm


def ready(workers):
    rustybt_pool.quiet()

    def run(seconds, n):
        space = ParameterSpace(parameters=[DiscreteParameter(name="n", min_value=0, max_value=n - 1)])
        optimizer = parallel_optimizer.ParallelOptimizer(
            GridSearchAlgorithm(space), n_jobs=workers, batch_size=max(2 * workers, min(n, 64)), verbose=False,
            maxtasksperchild=1_000_000,
        )  # fmt: skip
        found = {}
        take = optimizer._process_result  # the scores that it does not keep

        def process(result):
            found[result.params["n"]] = float(result.score)
            take(result)

        optimizer._process_result = process
        optimizer.run(work.objective(seconds))
        return float(optimizer.get_best_result()[1]), lambda: found

    return run, lambda: None


if __name__ == "__main__":
    work.serve(ready)
