"""SentState: the part of a driver's state that is sent to the hosts of a Ray cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from rbt_ray import environment
from rbt_ray.pool.driver_state import DriverState
from rbt_ray.pool.process_setup import ONE_THREAD

_NEVER = ("RAY_", "CUDA_")
"""Prefixes of variables that Ray sets for each of its processes."""


@dataclass(frozen=True, slots=True)
class SentState:
    """The part of a driver's state that other hosts receive.

    Args:
        folder: the working directory of the driver.
        paths: its `sys.path`.
        changes: variables that it has changed since it imported rbt_ray; None for a removed one.
    """

    folder: str | None
    paths: tuple[str, ...]
    changes: dict[str, str | None] = field(repr=False)  # it may hold secrets

    @classmethod
    def of(cls, state: DriverState) -> SentState:
        """Returns the part of a driver's state to send: no variables that the driver inherited, and none of Ray's."""
        changes = {
            name: value
            for name, value in environment.changes(state.variables).items()
            if not name.startswith(_NEVER) and name not in ONE_THREAD
        }
        return cls(state.folder, state.paths, changes)

    def on(self, own: DriverState, runtime_env: Collection[str], variables: Collection[str]) -> tuple[DriverState, str]:
        """Returns the state for an actor, and a sentence for the user if it has to stay in its own folder.

        Args:
            own: the actor's state when it started.
            runtime_env: the names that Ray's `runtime_env` sets; a "working_dir" takes precedence.
            variables: the environment variables that it sets; they take precedence.
        """
        changes = {name: value for name, value in self.changes.items() if name not in variables}
        merged = {**own.variables, **changes}
        state = replace(
            own,
            paths=(*self.paths, *(path for path in own.paths if path not in self.paths)),
            variables={name: value for name, value in merged.items() if value is not None},
        )
        if self.folder is None or "working_dir" in runtime_env:
            return state, ""
        if os.path.isdir(self.folder) and os.access(self.folder, os.X_OK):  # noqa: PTH112 - is_dir() raises some errors
            return replace(state, folder=self.folder), ""
        return state, (
            f"the driver's working directory {self.folder} does not exist on {socket.gethostname()}: trials there run in "
            f"{own.folder}."
        )
