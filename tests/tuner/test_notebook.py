"""In a notebook the progress is one line that changes in place, as IPython's own display publishes it."""

import json
import os
import subprocess
import sys

SCRIPT = """
import json, sys
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

class Publisher(CapturingDisplayPublisher):
    def publish(self, data, metadata=None, *, transient=None, update=False, **_):
        self.outputs.append([data["text/plain"], transient["display_id"], update])

class Shell(InteractiveShell):
    kernel = "as ipykernel's shell has one"

shell = Shell.instance(display_pub_class=Publisher)
shell.display_formatter.ipython_display_formatter  # made in the main thread
import rbt_ray as rbt
from rbt_ray.tuner import progress
progress._LINE_SECONDS = 0.01

def slow(params, data=None):
    import time
    time.sleep(0.02)
    return {"gain": float(params["x"])}

rbt.Tuner(
    slow,
    param_space={"x": rbt.grid_search(list(range(10)))},
    tune_config=rbt.TuneConfig(metric="gain", mode="max"),
    run_config=rbt.RunConfig(name="mine", storage_path=sys.argv[1], num_workers=1),
).fit()
print(json.dumps(shell.display_pub.outputs))
"""


def test_a_study_shows_one_line_that_changes(tmp_path):
    words = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "home")},
    )
    shown = json.loads(done.stdout.splitlines()[-1])
    assert len(shown) > 2
    assert len({handle for _, handle, _ in shown}) == 1
    assert [update for *_, update in shown] == [False] + [True] * (len(shown) - 1)
    assert shown[0][0].startswith("0/10 trials")
    assert shown[-1][0].startswith("10/10 trials")
    assert "best gain 9" in shown[-1][0]
    assert "trials |" not in done.stderr
