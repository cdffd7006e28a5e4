"""Signals that arrive while the handler of another one runs stop a study; none of them waits for a lock of the first."""

import subprocess
import sys

import pytest

SCRIPT = """
import signal, sys
from rbt_ray.engine.stop_conditions import interrupt_on_signals

second = getattr(signal, sys.argv[1])
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under `nohup` it would be ignored
within, at = False, 0

def raise_second(frame, what, value):
    global within, at
    if within and what in ("line", "call") and "signal" not in frame.f_code.co_filename:
        at -= 1
        if at == 0:
            within = False
            signal.raise_signal(second)
    return raise_second

for point in range(1, 60):
    with interrupt_on_signals() as interrupt:
        within, at = True, point
        sys.settrace(raise_second)
        try:
            signal.raise_signal(signal.SIGHUP)
        except KeyboardInterrupt:
            pass  # of a second signal that ends the study at once
        finally:
            sys.settrace(None)
            reached, within = not within, False
    if not reached:
        break
    assert interrupt.is_set()
print(point)
"""


@pytest.mark.parametrize("second", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_a_signal_may_arrive_at_any_line_of_the_handler_of_another(second):
    done = subprocess.run([sys.executable, "-c", SCRIPT, second], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 5 < int(done.stdout) < 59  # each line had its turn, and none was left out at the end
