"""Compiles `shim.c`, and calls it in the process that it was loaded into."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shim.c")


def compiled(folder):
    """The shared library, or a skip where there is no compiler; with CI=true that is a failure."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        sentence = (
            "faults of system calls are injected by a library that gcc compiles on Linux; one of them is missing."
        )
        if os.environ.get("CI") and sys.platform == "linux":
            pytest.fail(sentence)
        pytest.skip(sentence)
    library = folder / "shim.so"
    words = [compiler, "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(library), "-ldl", "-lpthread"]
    subprocess.run(words, check=True, timeout=60)
    return library


def loaded():
    """The functions of the library that LD_PRELOAD loaded; children are started without it."""
    os.environ.pop("LD_PRELOAD")
    library = ctypes.CDLL(None)
    library.shim_count.restype = library.shim_failed.restype = ctypes.c_long
    library.shim_fail.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_int)
    return library
