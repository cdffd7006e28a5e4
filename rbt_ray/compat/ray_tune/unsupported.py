"""Names of Ray Tune that are not supported: calling one raises an error with the alternative."""

from __future__ import annotations

from typing import Any

from rbt_ray.errors import NotSupportedError


class _Unsupported:
    instead = ""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        raise NotSupportedError(f"`tune.{type(self).__name__}` is not supported; {self.instead}")


class Experiment(_Unsupported):
    """Not supported."""

    instead = (
        "one Tuner is one study: call `tune.Tuner(trainable, ...).fit()` one after the other; the workers stay warm."
    )


class ExperimentAnalysis(_Unsupported):
    """Not supported."""

    instead = "call `tune.Tuner.restore(path, trainable).get_results()` for a ResultGrid."


class ProgressReporter(_Unsupported):
    """Not supported."""

    instead = "progress is shown on stderr; RunConfig(verbose=0) hides it, and a Callback can print its own."


class CLIReporter(ProgressReporter):
    """Not supported."""


class JupyterNotebookReporter(ProgressReporter):
    """Not supported."""


class PlacementGroupFactory(_Unsupported):
    """Not supported."""

    instead = "set the resources of each trial by `tune.with_resources(trainable, {'cpu': 2})`."


class ResumeConfig(_Unsupported):
    """Not supported."""

    instead = "pass `resume_unfinished`, `resume_errored` or `restart_errored` to `Tuner.restore`."


def run(*_args: Any, **_options: Any) -> Any:
    """Not supported: raises a NotSupportedError."""
    raise NotSupportedError(
        "`tune.run` is not supported; use `tune.Tuner(trainable, param_space=config, tune_config=tune.TuneConfig(metric=, "
        "mode=, num_samples=, scheduler=), run_config=tune.RunConfig(name=, stop=)).fit()`."
    )


def run_experiments(*_args: Any, **_options: Any) -> Any:
    """Not supported: raises a NotSupportedError."""
    raise NotSupportedError(f"`tune.run_experiments` is not supported; {Experiment.instead}")


def create_searcher(*_args: Any, **_options: Any) -> Any:
    """Not supported: raises a NotSupportedError."""
    raise NotSupportedError(
        "`tune.create_searcher` is not supported; set TuneConfig(search_alg=) to a name ('bohb', 'tpe', 'random', 'sobol') or "
        "a searcher object of Ray Tune."
    )


def register_env(*_args: Any, **_options: Any) -> Any:
    """Not supported: raises a NotSupportedError."""
    raise NotSupportedError("`tune.register_env` is for RLlib, which is not supported; use Ray Tune.")
