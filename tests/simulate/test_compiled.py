"""The cache of machine code depends on every module that a kernel contains code or constants of."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

MODULES = {
    "kernel": """
from rbt_ray.simulate.compiled import NUMBER, compiled
from toy.helpers import add

@compiled(NUMBER)
def shift(x):
    return add(x)

print(int(shift(1.0)), sum(shift.stats.cache_hits.values()))
""",
    "helpers": """
import numba
from toy.constants import (
    STEP,
)

add = numba.njit(lambda x: x + STEP + 0)
""",
    "constants": "STEP = 1\n",
}


EDITS = {"kernel": ("return add(x)", "return add(x) + 1"), "helpers": ("+ 0", "+ 1"), "constants": ("= 1", "= 2")}


@pytest.mark.slow
def test_editing_a_function_that_a_kernel_uses_recompiles_the_kernel(tmp_path):
    package = tmp_path / "toy"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, text in MODULES.items():
        (package / f"{name}.py").write_text(text)

    def run():
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        command = [sys.executable, "-B", "-c", "import toy.kernel"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
        return tuple(map(int, done.stdout.split()))

    assert run() == (2, 0)
    assert run() == (2, 1), "unchanged code is loaded from the cache"
    for answer, (module, (before, after)) in enumerate(EDITS.items(), 3):
        source = package / f"{module}.py"
        source.write_text(source.read_text().replace(before, after))
        assert run() == (answer, 0), module
    assert run() == (answer, 1)
