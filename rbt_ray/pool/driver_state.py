"""DriverState: the working directory, import path, environment variables and umask that trials share with their driver."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rbt_ray.objectives.isolation import apply_time_zone, umask, working_folder
from rbt_ray.pool.process_setup import ONE_THREAD

_NO_SETTING = {"PYTEST_CURRENT_TEST"}
"""Variables that only inform people; a change does not affect workers."""


@dataclass(frozen=True, slots=True)
class DriverState:
    """The state of a driver, recorded once per study, or of a worker that has entered it.

    Args:
        folder: the working directory; None if it no longer exists.
        paths: `sys.path`.
        variables: the environment, with one thread for BLAS and OpenMP as in every worker.
        umask: the file mode bits that new files do not get.
    """

    folder: str | None
    paths: tuple[str, ...]
    variables: dict[str, str] = field(repr=False)  # it may hold secrets
    umask: int

    @classmethod
    def here(cls) -> DriverState:
        """Returns the state of this process."""
        variables = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
        for name in _NO_SETTING:
            variables.pop(name, None)
        return cls(working_folder(), tuple(sys.path), variables, umask())

    def enter(self, before: DriverState) -> None:
        """Applies this state to the process, which is in the state `before` and may have set more variables since.

        Raises:
            OSError: the folder does not exist, or this process may not enter it.
        """
        if self.folder is not None:
            os.chdir(self.folder)
        sys.path[:] = self.paths
        for name in before.variables.keys() - self.variables.keys():
            os.environ.pop(name, None)
        for name, value in self.variables.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        apply_time_zone()
        os.umask(self.umask)


def run_in_state(state: DriverState, main: Callable[..., None], *args: Any) -> None:
    """Runs the main loop of a new process in the driver's state, which may differ from that of the fork server."""
    state.enter(DriverState.here())
    main(*args)
