"""docs/reliability.md, written from what was counted."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version

from tests.chaos import faults, hosts
from tests.chaos.run import Tally

_PAGE = """# Reliability

What happens to a study when processes, machines and disks do not behave, and how that was counted. The figures come from
`make chaos` and stand as they came out; `tests/chaos` is what it runs, and a short version runs with every change.

## What is promised

- A trial that was told to the searcher is in the journal, and survives kill -9 of any process. A power cut takes at most the
  last second: the journal's log is flushed that often, and what is torn at its end is cut.
- Every trial is recorded once, and the table of a seeded study is the same bit for bit whatever was done to it on the way.
- A driver that is killed leaves no process behind, and the next one goes on where it stopped. Two drivers never run one
  study: the second is refused with the process id and host of the first; the lock goes with its process, however that ends.
- Every event carries a checksum of its number, kind and bytes, and so does the study's definition. A journal in which a disk
  changed something either gives every event as it was written or is refused with a sentence; where the damage is in the log,
  it may also give the events before it, if all that had been flushed are among them: `journal.sqlite-flushed` says how far
  that was. So is one of another format, and one whose events, checksums right, say what no trial can.
  `tests/store/test_damage.py` cuts and changes journals at 600 random places, and mirrors at 200.
- A full disk, or another process that holds the journal, pauses a study: stderr says so, workers wait, and it goes on by
  itself. Ctrl-C then stops it, and it can be resumed.
- With a Ray of one's own, the death of its raylet or its control server ends the driver, and `rbt-ray resume` goes on. On a
  cluster a lost host costs time and no trial ([scaling](scaling.md), `tests/cluster`).

Two things are left behind where nobody is left to remove them: an empty folder `pymp-*` with a socket in the temporary
folder when the driver and its fork server are both killed, and Ray's own logs below its temporary folder.

## Hostile input

`make fuzz` throws generated input at the parsers, in a process that may hold little memory: 25,000 study files, bundle files,
spaces and command lines each, 24,500 definitions of studies, and 8,000 histories of events, sealed as any program can seal
them. A case is to end in a result or in a sentence. One did not, a metric above all floats in a history; it is refused now.

## How it is counted

Each study runs in a process of its own, slow enough to be hit. Faults are drawn from the study's seed: which, how many, and
after how long. A driver that dies is followed by another, which resumes. Five kinds of study take turns: a grid with trials
that raise and one that ends its worker whenever it runs, random and Sobol points over prices (one with workers that are
recycled after 20 trials), BOHB over fidelities, and TPE. At the end of each:

- every trial is in the journal exactly once, and the statuses and the table's hash are those of the undisturbed study;
- another process reads the same table;
- no process that was started for the study lives, wherever it hangs in the process tree;
- the study's folder holds the journal and the lock, the temporary folder and a `/dev/shm` of its own hold nothing;
- the driver has no more descriptors open than the undisturbed one (on Ray within two seconds of the pool's end: Ray's
  library closes its last connections in threads of its own);
- no driver printed a traceback, and each that ended early was meant to.

On several hosts (a head and two workers, of Linux namespaces) hosts are killed and links cut under one study, with trials that
draw random numbers; a host that is lost is replaced. Its table is to be that of the local pool, and no worker may be left.

A failure prints the seed that runs it again: `python -m tests.chaos run --seed SEED --backend BACKEND`.

## What was counted

{n_faults:,} faults in {n_studies:,} studies, which took {n_drivers:,} drivers; {n_failed} of them ended otherwise than they should.
{machine}

| fault | local | ray | hosts |
|---|---:|---:|---:|
{fault_rows}
| all | {n_local:,} | {n_ray:,} | {n_hosts:,} |

| study | local | ray | hosts |
|---|---:|---:|---:|
{study_rows}
{failures}"""


def page(tallies: Sequence[Tally]) -> str:
    """The page's text."""
    struck = sum((Counter(tally.faults) for tally in tallies), Counter[str]())
    studies = sum((Counter(tally.studies) for tally in tallies), Counter[str]())
    failed = [text for tally in tallies for text in tally.failed]
    known = [*faults.RAY, *faults.LOCAL, *faults.ON_A_SMALL_DISK, *hosts.FAULTS]
    names = {fault.__name__: fault.__doc__ for fault in known}
    kinds = sorted({key.split()[1] for key in studies})
    return _PAGE.format(
        n_faults=struck.total(),
        n_studies=studies.total() + len(failed),
        n_drivers=sum(tally.drivers for tally in tallies),
        n_failed=len(failed) or "none",
        machine=_machine(),
        fault_rows=_rows(struck, {name: str(text).rstrip(".") for name, text in names.items()}),
        n_local=sum(n for key, n in struck.items() if key.startswith("local ")),
        n_ray=sum(n for key, n in struck.items() if key.startswith("ray ")),
        n_hosts=sum(n for key, n in struck.items() if key.startswith("hosts ")),
        study_rows=_rows(studies, dict(zip(kinds, kinds, strict=True))),
        failures="".join(f"\n- `{_brief(text)}`" for text in failed),
    )


def _rows(counts: Counter[str], shown: dict[str, str]) -> str:
    return "\n".join(
        f"| {text} | {' | '.join(str(counts[f'{where} {name}'] or '-') for where in ('local', 'ray', 'hosts'))} |"
        for name, text in shown.items()
    )


def _brief(text: str) -> str:
    """The seed and the first words of what did not hold, without this machine's paths."""
    words = re.sub(r"\S*/\S+", "...", " ".join(text.split()))
    return "".join(letter for letter in words if letter.isprintable() and letter != "`")[:160]


def _machine() -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"On {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {python}, Ray {version('ray')}, with "
        f"other work on the machine."
    )
