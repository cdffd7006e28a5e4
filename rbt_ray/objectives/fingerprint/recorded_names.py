"""Recorded names of classes and functions of rbt_ray that the user's code can refer to or hold.

A resumed study compares the fingerprint of its objective. So fingerprints keep the recorded names when classes, functions
or modules are renamed or moved: add the new name here.
"""

from __future__ import annotations

_RECORDED = {
    "rbt_ray.adapters.trading_algorithm.Backtester": "rbt_ray.adapters.trading_algorithm.Engine",
    "rbt_ray.compat.ray_tune": "rbt_ray.tune.ported",
    "rbt_ray.compat.ray_tune.logger": "rbt_ray.tune.logger",
    "rbt_ray.compat.ray_tune.schedulers": "rbt_ray.tune.schedulers",
    "rbt_ray.compat.ray_tune.stopper": "rbt_ray.tune.stopper",
    "rbt_ray.compat.ray_tune.stopper.StopCriteria": "rbt_ray.tune.ported.stopping.Stop",
    "rbt_ray.compat.ray_tune.trainable_objective": "rbt_ray.tune.ported.runner",
    "rbt_ray.compat.ray_tune.trainable_objective.TrainableObjective": "rbt_ray.tune.ported.runner.Runner",
    "rbt_ray.compat.ray_tune.trainable_spec": "rbt_ray.tune.ported.dressed",
    "rbt_ray.compat.ray_tune.trainable_spec.Parameters": "rbt_ray.tune.ported.parameters.Parameters",
    "rbt_ray.compat.ray_tune.trainable_spec.TrainableSpec": "rbt_ray.tune.ported.dressed.Dressed",
    "rbt_ray.compat.ray_tune.trial.TrialFolder": "rbt_ray.tune.ported.records.Records",
    "rbt_ray.compat.ray_tune.trial.TrialNaming": "rbt_ray.tune.ported.trial.Naming",
    "rbt_ray.compat.ray_tune.unsupported": "rbt_ray.tune.ported.refused",
    "rbt_ray.compat.rustybt.config.PerformanceThreshold": "rbt_ray.compat.rustybt.thresholds.PerformanceThreshold",
    "rbt_ray.compat.rustybt.objective.AlgorithmClass": "rbt_ray.compat.rustybt.scoring.OfClass",
    "rbt_ray.compat.rustybt.objective.NamedBundle": "rbt_ray.compat.rustybt.scoring.ByName",
    "rbt_ray.compat.rustybt.objective.ScoredObjective": "rbt_ray.compat.rustybt.scoring.Scored",
    "rbt_ray.compat.rustybt.objective.ScoredObjectiveWithData": "rbt_ray.compat.rustybt.scoring.ScoredWithOwnData",
    "rbt_ray.compat.rustybt.optimizer.BOHBOptimizer": "rbt_ray.compat.rustybt.bohb_optimizer.BOHBOptimizer",
    "rbt_ray.compat.rustybt.optimizer.Budgeted": "rbt_ray.compat.rustybt.bohb_optimizer.Budgeted",
    "rbt_ray.compat.rustybt.run_study.OptimizationResult": "rbt_ray.compat.rustybt.result.OptimizationResult",
    "rbt_ray.compat.rustybt.search_algorithms": "rbt_ray.compat.rustybt.strategies",
    "rbt_ray.compat.rustybt.search_algorithms.GeneticAlgorithm": "rbt_ray.compat.rustybt.genetic.GeneticAlgorithm",
    "rbt_ray.compat.rustybt.shared_bundle.BundleConnectionPool": "rbt_ray.compat.rustybt.bundle_pool.BundleConnectionPool",
    "rbt_ray.compat.rustybt.shared_bundle.get_bundle_from_pool": "rbt_ray.compat.rustybt.bundle_pool.get_bundle_from_pool",
    "rbt_ray.compat.rustybt.worker_pool.cleanup_global_pool": "rbt_ray.compat.rustybt.global_pool.cleanup_global_pool",
    "rbt_ray.compat.rustybt.worker_pool.get_global_pool": "rbt_ray.compat.rustybt.global_pool.get_global_pool",
    "rbt_ray.data.file_tree": "rbt_ray.data.files",
    "rbt_ray.data.file_tree.FileTree": "rbt_ray.data.files.Files",
    "rbt_ray.objectives.builtin.strategy.Parameter": "rbt_ray.objectives.builtin.parameters.Parameter",
    "rbt_ray.objectives.kind.DataProvider": "rbt_ray.objectives.own_data.OwnData",
    "rbt_ray.objectives.strategy_adapter": "rbt_ray.objectives.adapted",
    "rbt_ray.objectives.strategy_adapter.StrategyAdapter": "rbt_ray.objectives.adapted.Adapted",
    "rbt_ray.objectives.kind.batched": "rbt_ray.objectives.objective.batched",
    "rbt_ray.study.conditions.BooleanExpression": "rbt_ray.study.conditions.Joined",
    "rbt_ray.study.domains.Choice": "rbt_ray.study.choices.Choice",
    "rbt_ray.study.study.PriorResult": "rbt_ray.study.study.Told",
    "rbt_ray.study.values.OpaqueValue": "rbt_ray.study.values.Named",
    "rbt_ray.tuner": "rbt_ray.tune",
}
"""Recorded names by the current name of a class, function, module or package."""


def recorded(name: str) -> str:
    """Returns the recorded name of a class or a function.

    Args:
        name: module and qualified name, joined by a dot.
    """
    head, rest = name, ""
    while head.startswith("rbt_ray."):
        if head in _RECORDED:
            return _RECORDED[head] + rest
        head, _, last = head.rpartition(".")
        rest = f".{last}{rest}"
    return name


def recorded_qualname(kind: type) -> str:
    """Returns the qualified name of a class, without its module, by which studies know it."""
    n_parts = kind.__qualname__.count(".") + 1
    return ".".join(recorded(f"{kind.__module__}.{kind.__qualname__}").split(".")[-n_parts:])
