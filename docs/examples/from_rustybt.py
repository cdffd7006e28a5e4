"""A RustyBT optimization on rbt_ray: only its imports have changed; then the same search with a bundle.

Before: ``from rustybt.optimization import ...`` and ``from rustybt.optimization.search import GridSearchAlgorithm``.
"""

import sys
import tempfile

import rbt_ray as rbt
from rbt_ray.compat.rustybt import (
    DiscreteParameter,
    GridSearchAlgorithm,
    ObjectiveFunction,
    OptimizationConfig,
    ParallelOptimizer,
    ParameterSpace,
)

SPACE = ParameterSpace(
    parameters=[
        DiscreteParameter(name="fast", min_value=5, max_value=50, step=5),
        DiscreteParameter(name="slow", min_value=60, max_value=240, step=20),
    ]
)


def sharpe(params):
    """An objective of params, as for RustyBT: here a backtest of rbt_ray on a bundle that it opens itself."""
    return crossover(params, rbt.load_bundle("sample").view()).metrics()["sharpe"]


def crossover(params, data):
    """The same as an objective of params and data: the bundle is open, and each worker computes an average once."""
    fast, slow = data.sma("close", params["fast"]), data.sma("close", params["slow"])
    return rbt.backtest(data, (fast > slow) / data.n_symbols, costs=rbt.Costs(turnover_bps=5))


def main(folder):
    """Runs both; they find the same params."""
    config = OptimizationConfig.create_default()
    config.benchmark_output_dir = folder

    optimizer = ParallelOptimizer(GridSearchAlgorithm(SPACE), n_jobs=2, verbose=False, config=config)
    optimizer.run(sharpe)
    params, score = optimizer.get_best_result()
    print(f"search algorithm and objective: {params} {float(score):.6f}")

    optimizer = ParallelOptimizer(
        algorithm_class=crossover,
        param_space=SPACE,
        bundle_name="sample",
        config=config,
        objective=ObjectiveFunction("sharpe_ratio"),
        n_jobs=2,
        verbose=False,
    )
    best = optimizer.run_optimization()
    print(f"algorithm and bundle:           {best.params} {float(best.score):.6f}")

    report = optimizer.results.report(f"{folder}/report.html")  # a run is a study
    print(f"{len(optimizer.results)} trials, and {report.name}")
    optimizer.cleanup()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="studies-"))
