"""RustyBT's optimization interface over rbt_ray's pools and Tuner; docs/moving/rustybt.md lists the differences."""

from rbt_ray.compat.rustybt.config import OptimizationConfig, PerformanceThreshold
from rbt_ray.compat.rustybt.monte_carlo import MonteCarloResult, MonteCarloSimulator
from rbt_ray.compat.rustybt.noise_infusion import NoiseInfusionResult, NoiseInfusionSimulator
from rbt_ray.compat.rustybt.objective import ObjectiveFunction
from rbt_ray.compat.rustybt.optimizer import BOHBOptimizer, Optimizer
from rbt_ray.compat.rustybt.parallel_optimizer import ParallelOptimizer, WorkerStats
from rbt_ray.compat.rustybt.parameter_space import (
    CategoricalParameter,
    ContinuousParameter,
    DiscreteParameter,
    ParameterSpace,
)
from rbt_ray.compat.rustybt.run_study import OptimizationResult
from rbt_ray.compat.rustybt.search_algorithms import (
    BayesianOptimizer,
    GeneticAlgorithm,
    GridSearchAlgorithm,
    RandomSearchAlgorithm,
    SearchAlgorithm,
)
from rbt_ray.compat.rustybt.sensitivity import (
    InteractionResult,
    SensitivityAnalyzer,
    SensitivityResult,
    calculate_stability_score,
)
from rbt_ray.compat.rustybt.shared_bundle import (
    BundleConnectionPool,
    SharedBundleContext,
    SharedBundleMetadata,
    get_bundle_from_pool,
)
from rbt_ray.compat.rustybt.walk_forward import (
    WalkForwardOptimizer,
    WalkForwardResult,
    WindowConfig,
    WindowResult,
)
from rbt_ray.compat.rustybt.worker_pool import PersistentWorkerPool, cleanup_global_pool, get_global_pool

__all__ = [
    "BOHBOptimizer",
    "BayesianOptimizer",
    "BundleConnectionPool",
    "CategoricalParameter",
    "ContinuousParameter",
    "DiscreteParameter",
    "GeneticAlgorithm",
    "GridSearchAlgorithm",
    "InteractionResult",
    "MonteCarloResult",
    "MonteCarloSimulator",
    "NoiseInfusionResult",
    "NoiseInfusionSimulator",
    "ObjectiveFunction",
    "OptimizationConfig",
    "OptimizationResult",
    "Optimizer",
    "ParallelOptimizer",
    "ParameterSpace",
    "PerformanceThreshold",
    "PersistentWorkerPool",
    "RandomSearchAlgorithm",
    "SearchAlgorithm",
    "SensitivityAnalyzer",
    "SensitivityResult",
    "SharedBundleContext",
    "SharedBundleMetadata",
    "WalkForwardOptimizer",
    "WalkForwardResult",
    "WindowConfig",
    "WindowResult",
    "WorkerStats",
    "calculate_stability_score",
    "cleanup_global_pool",
    "get_bundle_from_pool",
    "get_global_pool",
]
