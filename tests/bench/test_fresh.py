"""`fresh` measures real processes."""

import subprocess
import sys

import pytest

from rbt_ray.bench import fresh
from rbt_ray.bench.measurement import ProcessTree
from rbt_ray.errors import BenchError

MB = 10**6
HOLDS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import sys; x = bytearray(b'x') * {size}; print(1, flush=True); sys.stdin.read()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
end = time.process_time() + 0.8
while time.process_time() < end: pass
child.stdin.close()
child.wait()
print("words")
print('{{"digest": "d", "seconds": 7}}')
"""


@pytest.mark.slow
def test_memory_and_time_of_the_whole_tree_are_seen():
    small, large = (fresh([sys.executable, "-S", "-c", HOLDS.format(size=size)]) for size in (1, 100 * MB))
    for peak in ("peak_rss", "peak_uss", "peak_pss"):
        # The child holds it while the parent burns 0.8 s. A look at a fork's first moment sees the parent's 10 MB twice.
        assert getattr(large, peak) - getattr(small, peak) == pytest.approx(100 * MB, abs=15 * MB)
    assert large.cpu_s >= 0.1  # of 0.8 s of work, without what follows the last sample
    assert (large.digest, large.seconds) == ("d", 7.0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a shared page's share")
def test_a_page_that_two_processes_share_counts_once_in_pss(tmp_path):
    path = tmp_path / "shared"
    path.write_bytes(b"x" * 50 * MB)
    maps = (
        "import mmap, os, sys\n"
        f"held = mmap.mmap(os.open({str(path)!r}, os.O_RDONLY), 0, prot=mmap.PROT_READ)\n"
        "sum(held[::4096])\n"
    )
    waits = "print(1, flush=True); sys.stdin.read()"
    parent = maps + (
        "import subprocess\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', {maps + waits!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        f"{waits}\n"
        "child.stdin.close(); child.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-S", "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        tree = ProcessTree(process.pid)
        tree.look()
    assert tree.peak_rss > 100 * MB
    assert 50 * MB < tree.peak_pss < 80 * MB


def test_a_command_that_fails_says_its_last_words():
    with pytest.raises(BenchError, match=r"code 3.*\n.*because"):
        fresh([sys.executable, "-S", "-c", "import sys; print('because', file=sys.stderr); sys.exit(3)"])


def test_a_command_that_is_not_there():
    with pytest.raises(BenchError, match="cannot be started"):
        fresh(["/no/such/program"])


def test_a_last_line_that_is_not_a_json_object_is_no_result():
    assert fresh([sys.executable, "-S", "-c", "print('[1]')"]).result == {}
