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
    "rbt_ray.objectives.sweep.entry_exit",
    "rbt_ray.objectives.sweep.windows",
)
"""The modules with kernels. Importing a module compiles its kernels, as their signatures are fixed."""
IN_TWO_FORMS = {
    "rbt_ray.objectives.sweep.drifting": "drift",
    "rbt_ray.objectives.sweep.holed": "reset_over_holes",
    "rbt_ray.objectives.sweep.accumulate": "accumulate",
    "rbt_ray.objectives.rule.with_exits": "kernel",
}
"""The functions that return a kernel for one segment or for several; the first call compiles it."""


def main() -> None:
    """Compiles kernels that are not in the cache, and prints the time taken."""
    start = time.perf_counter()
    for module in KERNELS:
        importlib.import_module(module)
    for module, name in IN_TWO_FORMS.items():
        for segmented in (False, True):
            getattr(importlib.import_module(module), name)(segmented)
    print(f"{len(KERNELS) + len(IN_TWO_FORMS)} modules of kernels are ready ({time.perf_counter() - start:.1f} s).")


if __name__ == "__main__":
    main()
