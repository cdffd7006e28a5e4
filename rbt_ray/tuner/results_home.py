"""Says where a study on a cluster is stored, and how to fetch it from there."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rbt_ray.store.location import StudyLocation
from rbt_ray.store.storage import is_uri
from rbt_ray.tuner.config import RunConfig
from rbt_ray.tuner.pools import backend_of, is_connected

_LAUNCHED = Path("~/ray_bootstrap_config.yaml")
"""A file that `ray up` leaves on the head."""


@contextmanager
def announced(run_config: RunConfig, location: StudyLocation) -> Iterator[None]:
    """Prints where the study is stored, before and after the block, if its driver runs on a cluster of several machines.

    Not with ``verbose=0``, nor through a Ray Client, whose driver is on the user's machine.
    """
    line = _line(run_config, location)
    _print(line)
    try:
        yield
        line = line or _line(run_config, location)  # hosts may have joined; after an error, Ray may not answer
    finally:
        _print(line)


def _line(run_config: RunConfig, location: StudyLocation) -> str | None:
    if run_config.verbose and backend_of(run_config) == "ray" and is_connected():
        return _sentence(location)
    return None


def _print(line: str | None) -> None:
    if line is not None:
        print(line, file=sys.stderr)


def _sentence(location: StudyLocation) -> str | None:
    """Returns the line to print; None if the driver runs on the user's own machine, as far as known."""
    from rbt_ray.pool.ray import runtime  # imports Ray, which the pool has done by now

    if runtime.is_client():
        return None
    if is_uri(place := location.display_name):
        return f"rbt-ray: the study is stored in {place}: `rbt-ray show {shlex.quote(place)}` prints it on any machine."
    here, folder = socket.gethostname(), location.folder.absolute()
    path, name = shlex.quote(str(folder)), shlex.quote(folder.name)
    if _LAUNCHED.expanduser().exists():
        command = f"ray rsync-down CLUSTER.yaml {path}/ {name}/"
    elif "KUBERNETES_SERVICE_HOST" in os.environ:
        command = f"kubectl cp {here}:{path} {name}"
    elif runtime.hosts() - {here}:
        command = f"scp -r {here}:{path} {name}"
    else:
        return None
    return f"rbt-ray: the study is stored in {folder} on {here}: `{command}` fetches it."
