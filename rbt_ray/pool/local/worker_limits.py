"""Checks that this machine, and the limits of this process, allow a number of local workers."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from rbt_ray import process_limits
from rbt_ray.data import memory_limit as room
from rbt_ray.errors import SettingError
from rbt_ray.pool.memory import default_memory_limit
from rbt_ray.process_limits import MIB, WORKER_BYTES, WORKER_FILES

FILES_EACH = 4
"""Descriptors of the driver per worker: a pipe, one that signals its end, and two of multiprocessing."""
TASKS_EACH, _TASKS = 4, 32
"""Threads and processes per worker, and of the driver: a thread of the driver, and the worker with two of its own."""
BYTES_EACH = 8 * MIB
"""Memory of its own that a worker uses: 4 MiB when it starts, and twice that with an objective."""
RESIDENT_BYTES = 64 * MIB
"""Resident memory of a new worker, shared pages included: a lower limit would be exceeded at once."""
_STACK_BYTES = 8 * MIB


def check(n_workers: int, memory_limit: int | None = None) -> None:
    """Raises an error if the workers cannot be started; starts nothing.

    Args:
        n_workers: the number of processes.
        memory_limit: `worker_memory_limit`.

    Raises:
        ResourceError: not even one worker can be started under the limits of this process.
        SettingError: there are too many workers; the message names the limit and how many it allows.
    """
    process_limits.check(WORKER_BYTES, WORKER_FILES + FILES_EACH)
    for most, why in _bounds(memory_limit):
        if n_workers > most:
            raise SettingError(f"`num_workers` is {n_workers:,}, and at most {most:,} can be started here: {why}.")


def _bounds(memory_limit: int | None) -> list[tuple[int, str]]:
    """Returns how many workers each resource allows, and why."""
    free = room.free_bytes()
    bounds = [
        (
            free // BYTES_EACH,
            f"{free // MIB:,} MiB of memory are free, and each worker takes {BYTES_EACH // MIB} or more",
        )
    ]
    if memory_limit is None:
        bounds.append(
            (
                default_memory_limit(1) // RESIDENT_BYTES,
                f"80 % of the memory, shared evenly, would leave each less than the {RESIDENT_BYTES // MIB} MiB that a "
                "new one holds. Set `worker_memory_limit` if you have measured that they fit",
            )
        )
    if (files := process_limits.free_descriptors()) is not None:
        why = f"each takes {FILES_EACH} of the {files:,} descriptors that are left. Raise the limit (`ulimit -n`)"
        bounds.append(((files - WORKER_FILES) // FILES_EACH, why))
    if (space := process_limits.address_space()) is not None:
        why = (
            f"a thread for each takes 8 MiB of the {space // MIB:,} MiB of address space. Raise the limit (`ulimit -v`)"
        )
        bounds.append((1 + (space - WORKER_BYTES) // _STACK_BYTES, why))
    if (tasks := _most_tasks()) is not None:
        why = f"each takes {TASKS_EACH} of the {tasks:,} threads and processes that are allowed (`ulimit -u`, cgroup, kernel)"
        bounds.append(((tasks - _TASKS) // TASKS_EACH, why))
    return bounds


def _most_tasks() -> int | None:
    """Returns the lowest limit on threads and processes; None if none is known."""
    if not sys.platform.startswith("linux"):
        return None
    import resource

    limits = [_number(Path("/proc/sys/kernel") / name) for name in ("pid_max", "threads-max")]
    limits.append(_number(_cgroup() / "pids.max"))
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if os.geteuid() != 0 and soft != resource.RLIM_INFINITY:  # root is not limited
        limits.append(soft)
    return min((limit for limit in limits if limit is not None), default=None)


def _cgroup() -> Path:
    """Returns the folder of this process's cgroup; in a container, that is its root."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            folder = Path("/sys/fs/cgroup" + line.removeprefix("0::"))
            if line.startswith("0::") and folder.is_dir():
                return folder
    return Path("/sys/fs/cgroup")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is no limit
        return None
