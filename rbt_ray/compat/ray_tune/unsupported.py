"""Names of Ray Tune that are not supported: calling one raises an error with the alternative."""

from __future__ import annotations

from typing import Any

from rbt_ray.errors import NotSupportedError


class _Unsupported:
    """Not supported."""

    instead = ""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        raise NotSupportedError(f"`tune.{type(self).__name__}` is not supported; {self.instead}")


def unsupported_class(name: str, instead: str, base: type = _Unsupported) -> Any:
    """Returns a class that raises `base`'s error on creation; `instead` is the alternative."""
    return type(name, (base,), {"__doc__": base.__doc__, "__module__": base.__module__, "instead": instead})


_SEVERAL = "one Tuner is one study: call `tune.Tuner(trainable, ...).fit()` one after the other; the workers stay warm."
_PROGRESS = "progress is shown on stderr; RunConfig(verbose=0) hides it, and a Callback can print its own."

Experiment = unsupported_class("Experiment", _SEVERAL)
ExperimentAnalysis = unsupported_class(
    "ExperimentAnalysis", "call `tune.Tuner.restore(path, trainable).get_results()` for a ResultGrid."
)
ProgressReporter = unsupported_class("ProgressReporter", _PROGRESS)
CLIReporter = unsupported_class("CLIReporter", _PROGRESS, ProgressReporter)
JupyterNotebookReporter = unsupported_class("JupyterNotebookReporter", _PROGRESS, ProgressReporter)
PlacementGroupFactory = unsupported_class(
    "PlacementGroupFactory", "set the resources of each trial by `tune.with_resources(trainable, {'cpu': 2})`."
)
ResumeConfig = unsupported_class(
    "ResumeConfig", "pass `resume_unfinished`, `resume_errored` or `restart_errored` to `Tuner.restore`."
)


def _unsupported_function(name: str, reason: str) -> Any:
    def function(*_args: Any, **_options: Any) -> Any:
        """Not supported: raises a NotSupportedError."""
        raise NotSupportedError(f"`tune.{name}` {reason}")

    function.__name__ = function.__qualname__ = name
    return function


run = _unsupported_function(
    "run",
    "is not supported; use `tune.Tuner(trainable, param_space=config, tune_config=tune.TuneConfig(metric=, "
    "mode=, num_samples=, scheduler=), run_config=tune.RunConfig(name=, stop=)).fit()`.",
)
run_experiments = _unsupported_function("run_experiments", f"is not supported; {_SEVERAL}")
create_searcher = _unsupported_function(
    "create_searcher",
    "is not supported; set TuneConfig(search_alg=) to a name ('bohb', 'tpe', 'random', 'sobol') or "
    "a searcher object of Ray Tune.",
)
register_env = _unsupported_function("register_env", "is for RLlib, which is not supported; use Ray Tune.")
