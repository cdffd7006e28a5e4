"""Which workers a study gets: its resources and limits, as our engine's `RunConfig`."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

from rbt_ray.compat.ray_tune.settings import FailureConfig, Resources, RunConfig
from rbt_ray.errors import NotSupportedError
from rbt_ray.pool.local.pool import usable_cpus
from rbt_ray.store.uri import is_uri
from rbt_ray.tuner.config import RunConfig as EngineRun
from rbt_ray.tuner.pools import backend_of


def to_engine_run_config(
    run: RunConfig, name: str, resources: Resources, max_concurrent: int | None, failures: FailureConfig
) -> EngineRun:
    """The settings.

    Args:
        run: the user's.
        name: of the study.
        resources: what a trial takes.
        max_concurrent: trials at once; None: any number.
        failures: what happens to trials that fail.

    Raises:
        NotSupportedError: resources that the backend cannot keep apart.
    """
    storage = str(run.storage_path)
    if run.progress_reporter is not None:
        warnings.warn(
            "`progress_reporter` is not used: progress is shown on stderr; verbose=0 shows none.", stacklevel=5
        )
    cpus, asked = resources.cpu, {**({"GPU": resources.gpu} if resources.gpu else {}), **resources.others}
    local = backend_of(EngineRun(backend=run.backend, address=run.address)) == "local"
    if local and asked:
        raise NotSupportedError(
            f"`with_resources` asks for {asked}, which only Ray keeps apart: pass RunConfig(backend='ray')."
        )
    limits = [run.num_workers, max_concurrent]
    if local:
        limits.append(max(1, int(usable_cpus() / cpus)) if cpus and run.num_workers is None else None)
    return EngineRun(
        name=name,
        storage_path=storage if is_uri(storage) else Path(storage).expanduser(),
        backend=run.backend,
        address=run.address,
        num_workers=min((limit for limit in limits if limit is not None), default=None),
        num_cpus_per_worker=1 if local else max(1, math.ceil(cpus)),
        resources_per_worker=asked or None,
        trial_timeout_s=run.trial_timeout_s,
        max_retries=max(1, failures.max_failures),
        max_failures=0 if failures.fail_fast else None,
        verbose=1 if run.verbose is None else int(run.verbose),
        recheck=0,
    )
