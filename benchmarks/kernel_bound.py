"""Compares the sweep kernel with the limits of one core: measured rates of memory and of arithmetic.

    python benchmarks/kernel_bound.py

Memory: the best of 20 passes of `a[i] = b[i] + s * c[i]` over arrays far beyond the caches (24 bytes and 2 flops an
element), as McCalpin's STREAM has it. Arithmetic: vector multiply-adds in registers. The kernel: `sma_cross` on 8 x 5,124 bars.
What it must read and compute is counted by hand below, and stated beside the bound that follows. Processor times are of one
thread; the best of several runs, as other programs only ever take something away.
"""

import platform
import sys
import time
from pathlib import Path

import numba
import numpy as np

import rbt_ray as rbt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.crossover import old_bundle

N = 2**24
WIDTH = 64
"""Independent sums: enough that the latency of one multiply-add is hidden."""
FLOPS = {
    "compare two averages": 2,
    "add a symbol's return where held, and its cost where changed": 2,
    "equity, drawdown, mean, squares of a bar, shared by the symbols": 8 / 8,
}
"""Floating-point operations per (bar, symbol) of one config, without the bit operations between them."""


@numba.njit(fastmath=True)
def triad(a, b, c, s):
    for i in range(len(a)):
        a[i] = b[i] + s * c[i]


@numba.njit(fastmath=True)
def multiply_add(x, y, n):
    sums = np.zeros(WIDTH)
    for _ in range(n):
        for lane in range(WIDTH):
            sums[lane] = sums[lane] * x + y
    return sums.sum()


def best(run, repeats):
    run()
    seconds = []
    for _ in range(repeats):
        began = time.thread_time()
        run()
        seconds.append(time.thread_time() - began)
    return min(seconds)


def main():
    a, b, c = (np.ones(N) for _ in range(3))
    bandwidth = 24 * N / best(lambda: triad(a, b, c, 3.0), 20) / 1e9
    flops = 2 * WIDTH * 2e6 / best(lambda: multiply_add(0.999, 1e-3, int(2e6)), 10) / 1e9
    bundle, score = old_bundle(), rbt.objectives.sma_cross(rebalance="every_bar")
    view = bundle.view()
    fast, slow = np.meshgrid(np.arange(5.0, 55.0), np.arange(55.0, 455.0), indexing="ij")
    columns = {"fast": fast.ravel(), "slow": slow.ravel()}
    a_config = best(lambda: score.evaluate(view, columns, score.metrics), 7) / fast.size
    cells = bundle.n_bars * bundle.n_symbols
    per_cell = sum(FLOPS.values())
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, numba {numba.__version__}"
    )
    print(f"memory: {bandwidth:.1f} GB/s; multiply-add in registers: {flops:.1f} GFLOP/s, one core")
    print(f"the kernel: {a_config * 1e6:.2f} us a configuration, {a_config / cells * 1e12:.0f} ps a (bar, symbol)")
    print(
        f"its arithmetic: {per_cell * cells / a_config / 1e9:.1f} GFLOP/s of {flops:.1f}: {per_cell * cells / a_config / 1e9 / flops:.0%}"
    )
    once = 2 * 8 * cells  # closes' running sums and returns, read once a piece of configurations that share a tile
    print(
        f"were prices read from memory for every configuration, the bound would be {once / bandwidth / 1e3:.1f} us; read once "
        f"a tile for thousands of them, {once / 8192 / bandwidth / 1e3:.4f} us"
    )


if __name__ == "__main__":
    main()
