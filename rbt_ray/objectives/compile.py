"""Compiles all kernels and caches the machine code: `python -m rbt_ray.objectives.compile`.

Run it at set-up, so that no study waits for the compiler. It takes a minute the first time, and a second after that.
"""

from __future__ import annotations

import importlib
import time

KERNELS = (
    "rbt_ray.simulate.every_bar",
    "rbt_ray.simulate.on_change",
    "rbt_ray.simulate.metric_kernel",
    "rbt_ray.simulate.rolling",
    "rbt_ray.analysis.block_kernels",
    "rbt_ray.objectives.sweep.crossing",
    "rbt_ray.objectives.sweep.drifting",
    "rbt_ray.objectives.sweep.holed",
    "rbt_ray.objectives.sweep.entry_exit",
    "rbt_ray.objectives.sweep.accumulate",
)
"""The modules with kernels. Importing a module compiles its kernels, as their signatures are fixed."""


def main() -> None:
    """Compiles kernels that are not in the cache, and prints the time taken."""
    start = time.perf_counter()
    for module in KERNELS:
        importlib.import_module(module)
    print(f"{len(KERNELS)} modules of kernels are ready ({time.perf_counter() - start:.1f} s).")


if __name__ == "__main__":
    main()
