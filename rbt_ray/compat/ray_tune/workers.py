"""Conversion of Ray Tune's run settings and resources to the engine's `RunConfig`."""

from __future__ import annotations

import warnings
from pathlib import Path

from rbt_ray.compat.ray_tune.settings import FailureConfig, Resources, RunConfig
from rbt_ray.errors import NotSupportedError
from rbt_ray.pool.local.pool import usable_cpus
from rbt_ray.store.storage import is_uri
from rbt_ray.tuner import config
from rbt_ray.tuner.pools import backend_of
from rbt_ray.tuner.storage_folder import lasting_path


def to_engine_run_config(
    run: RunConfig, name: str, resources: Resources, max_concurrent: int | None, failures: FailureConfig
) -> config.RunConfig:
    """Returns the engine's run settings.

    Args:
        run: the user's settings.
        name: the study's name.
        resources: what a trial uses.
        max_concurrent: limit of concurrent trials; None: no limit.
        failures: what to do when a trial fails.

    Raises:
        NotSupportedError: the backend cannot reserve the resources.
    """
    storage = str(run.storage_path)
    if run.progress_reporter is not None:
        warnings.warn("`progress_reporter` is ignored: progress is shown on stderr; verbose=0 hides it.", stacklevel=5)
    cpus, asked = resources.cpu, {**({"GPU": resources.gpu} if resources.gpu else {}), **resources.others}
    local = backend_of(config.RunConfig(backend=run.backend, address=run.address)) == "local"
    if local and asked:
        raise NotSupportedError(
            f"`with_resources` asks for {asked}, which only Ray can reserve: pass RunConfig(backend='ray')."
        )
    limits = [run.num_workers, max_concurrent]
    if local:
        limits.append(max(1, int(usable_cpus() / cpus)) if cpus and run.num_workers is None else None)
    return config.RunConfig(
        name=name,
        storage_path=storage if is_uri(storage) else lasting_path(Path(storage).expanduser()),
        backend=run.backend,
        address=run.address,
        num_workers=min((limit for limit in limits if limit is not None), default=None),
        num_cpus_per_worker=1 if local else cpus or 1,
        resources_per_worker=asked or None,
        trial_timeout_s=run.trial_timeout_s,
        max_retries=max(1, failures.max_failures),
        max_failures=0 if failures.fail_fast else None,
        stop_on_identical_failures=False,
        verbose=1 if run.verbose is None else int(run.verbose),
        recheck=0,
    )
