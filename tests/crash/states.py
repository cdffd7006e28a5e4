"""Opens the states that power cuts leave, one by one: `python -m tests.crash.states TRACE HASH ROWS FIRST STOP`.

Prints a line of JSON for each wrong state, and finally the number of states of each kind.
"""

import collections
import contextlib
import io
import json
import os
import pickle
import shutil
import sys
import tempfile
import traceback
from contextlib import closing
from pathlib import Path

import numpy as np

from rbt_ray.errors import RbtError
from rbt_ray.store import journal_file
from rbt_ray.store.flusher import FlushMarker
from rbt_ray.store.journal import Journal
from rbt_ray.store.journal_file import RawEvents
from tests.crash import study
from tests.crash.disk import Disk, operations

RESUME_EVERY = 12


def opened(folder, disk, rows):
    """Opens a study's journal in a state; returns the error, or else the kind of state."""
    path = folder / journal_file.FILE_NAME
    if not path.exists():
        return "no study" if not disk.n_appended else f"wrong: no study, and {disk.n_appended} events were appended"
    certified = FlushMarker(path).read()
    least = max(certified, disk.n_flushed)
    try:
        with closing(Journal(folder)) as journal:
            n = sum(1 for _ in journal.read())
        with closing(RawEvents(folder)) as events:
            found = events.rows(1)
    except RbtError as error:
        return f"wrong: refused: {error} (at least {least} events were on the disk)"
    if found != rows[: len(found)] or n != len(found):
        return "wrong: other events"
    if len(found) < least:
        return f"wrong: {len(found)} events, {certified} certified, {disk.n_flushed} flushed"
    return "all events" if len(found) == disk.n_appended else "first events"


def resumed(storage, table_hash):
    """Resumes the study from a state; returns the error, if any."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = study.run(storage)
    if code or out.getvalue().strip() != table_hash:
        return f"wrong: resumed: {code} {out.getvalue()} {err.getvalue()}"
    return None


def main():
    trace, table_hash, rows, first, stop = sys.argv[1:]
    study.make_quick()
    done, rows = operations(Path(trace)), pickle.loads(Path(rows).read_bytes())
    base = Path(tempfile.mkdtemp(prefix="rbt-ray-states-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    counts = collections.Counter()
    try:
        for seed in range(int(first), int(stop)):
            rng = np.random.default_rng(seed)
            n_done = int(rng.integers(len(done) + 1))
            disk, storage = Disk(done[:n_done]), base / str(seed)
            storage.mkdir()
            disk.after_power_cut(rng, storage)
            try:
                kind = opened(storage / "study", disk, rows)
                if not kind.startswith("wrong") and seed % RESUME_EVERY == 0:
                    kind = resumed(storage, table_hash) or kind
            except Exception:
                kind = f"wrong: {traceback.format_exc()}"
            if kind.startswith("wrong"):
                print(json.dumps({"seed": seed, "operations": n_done, "why": kind}))
                kind = "wrong"
            counts[kind] += 1
            shutil.rmtree(storage)
    finally:
        shutil.rmtree(base)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
