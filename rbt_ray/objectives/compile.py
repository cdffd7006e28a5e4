"""Compiles every kernel of the package and keeps the machine code: `python -m rbt_ray.objectives.compile`.

Set-up runs this, so that no study waits for a compiler. It takes some seconds the first time, and none after.
"""

from __future__ import annotations

import importlib
import time

KERNELS = (
    "rbt_ray.simulate.every_bar",
    "rbt_ray.simulate.on_change",
    "rbt_ray.simulate.metric_kernel",
    "rbt_ray.simulate.rolling",
    "rbt_ray.objectives.sweep.crossing",
    "rbt_ray.objectives.sweep.drifting",
    "rbt_ray.objectives.sweep.holed",
    "rbt_ray.objectives.sweep.entry_exit",
    "rbt_ray.objectives.sweep.accumulate",
)
"""The modules with kernels; each compiles its own when it is imported, as their signatures are fixed."""


def main() -> None:
    """Compiles what is not compiled yet and says how long it took."""
    start = time.perf_counter()
    for module in KERNELS:
        importlib.import_module(module)
    print(f"{len(KERNELS)} modules of kernels are ready ({time.perf_counter() - start:.1f} s).")


if __name__ == "__main__":
    main()
