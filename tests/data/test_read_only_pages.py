"""Arrays on read-only pages, shared or copied."""

import ctypes
import gc
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rbt_ray.data import read_only_pages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can map memory a second time")


def shared_arrays(n=100_000):
    """Returns arrays like Ray's, and their memory: numbers at unaligned places of shared memory, dates in private memory."""
    memory = mmap.mmap(-1, 8 * n * 3, flags=mmap.MAP_SHARED)
    close = np.frombuffer(memory, np.float64, n, 8 * 100).reshape(n // 10, 10)
    close[:] = np.arange(n).reshape(close.shape)
    volume = np.frombuffer(memory, np.float64, n, 8 * (n + 700)).reshape(n // 10, 10)
    return {"index": np.arange(n // 10).astype("<M8[ns]"), "close": close, "volume": volume}, memory


def mappings():
    return Path("/proc/self/maps").read_text()


def test_shared_memory_is_mapped_again_and_not_copied():
    arrays, _ = shared_arrays()
    again = read_only_pages.remap(arrays)
    assert {name: (values.shape, values.dtype) for name, values in again.items()} == {
        name: (values.shape, values.dtype) for name, values in arrays.items()
    }
    assert not again["close"].flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        again["close"].setflags(write=True)
    arrays["close"][7, 3] = arrays["volume"][-1, -1] = -1.0  # the same pages under two addresses
    assert again["close"][7, 3] == again["volume"][-1, -1] == -1.0
    assert np.array_equal(again["index"], arrays["index"])


def test_copies_are_their_own():
    arrays = {"a": np.arange(1000.0), "b": np.arange(7)}
    copies = read_only_pages.copy(arrays)
    private = read_only_pages.remap(arrays)  # private memory
    arrays["a"][:] = 0
    for found in (copies, private):
        assert found["a"].tolist() == list(range(1000))
        assert found["b"].tolist() == list(range(7))
        assert not found["a"].flags.writeable


def stray_writes():
    """Prints, for each mapping and distance from an array, the exit code of a process that writes there."""
    arrays, _memory = shared_arrays()
    for name in ("remap", "copy"):
        values = getattr(read_only_pages, name)({"close": arrays["close"]})["close"]
        first = values.__array_interface__["data"][0]
        last = first + values.nbytes - 8
        page_before = first // mmap.PAGESIZE * mmap.PAGESIZE - 8
        page_after = (last + 8 + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        for address in (first, last, last + 8, page_before, page_after, page_before - 2**19, page_after + 2**19):
            child = os.fork()
            if child == 0:
                ctypes.memset(address, 1, 8)
                os._exit(0)
            print(name, address - first, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_a_write_to_the_arrays_or_past_their_ends_kills_the_process():
    script = "from tests.data.test_read_only_pages import stray_writes; stray_writes()"
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2], check=True
    )
    found = [line.split() for line in done.stdout.splitlines()]
    assert len(found) == 14
    assert {code for _, _, code in found} == {str(-signal.SIGSEGV)}, done.stdout


def test_the_mapping_lasts_as_long_as_any_array_and_no_longer():
    arrays, memory = shared_arrays()
    before = mappings().count("---p")
    again = read_only_pages.remap(arrays)
    close = again["close"][5:]
    del arrays, again
    gc.collect()
    with pytest.raises(BufferError):  # the arrays use it
        memory.close()
    assert close[0, 0] == 50
    assert mappings().count("---p") > before
    del close
    gc.collect()
    memory.close()
    assert mappings().count("---p") == before


def test_a_system_without_mremap_raises(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    for place in (read_only_pages.remap, read_only_pages.copy):
        with pytest.raises(OSError, match="darwin"):
            place({"a": np.arange(3.0)})
