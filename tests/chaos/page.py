"""docs/reliability.md, written from what was counted."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from tests.chaos import faults, hosts
from tests.chaos.run import Tally

_PAGE = """# Reliability

What happens to a study when processes, machines and disks fail, and how that was counted. The figures are the unedited
output of `tests/chaos`, which `make chaos` runs for hours and every change for a few minutes. Each
promise names the tests that hold it; `tests/test_promises.py` checks that they exist.

## What is promised

**Trials and tables**

- A trial whose result the search has used is in the journal, and survives kill -9 of any process.
  (`test_appended_events_survive_kill_9_of_the_writer`, `test_kill_9_then_resume`)
- Every trial is recorded once, and the table of a seeded study is the same bit for bit whatever happened while it ran.
  (`test_every_trial_is_recorded_once`, `test_studies_end_as_if_nothing_had_happened`)
- Whatever is appended to a journal can be read: an answer of a worker that cannot be recorded is a lost batch.
  (`test_what_is_accepted_is_read_as_it_was_and_the_rest_is_a_lost_batch`, `test_events_are_read_as_they_were_made`)
- A wrong clock, in a worker or in the driver, never makes a study unreadable. Its times become the nearest that can be
  recorded, and the table's hash stays the same. (`test_a_study_with_odd_clocks_in_its_worker_is_recorded_and_read`,
  `test_a_driver_whose_clock_is_odd_records_a_study_that_opens`)
- An objective may break its worker in any of about 140 ways. Innocent trials complete with the right values, and local
  workers and Ray end in the same table. (`test_every_hostile_objective_gives_the_same_table_on_both_backends`)

- A file of your code that is saved while a study runs changes nothing in its table. Resuming with other code or another
  state of the objective is refused, and what differs is named.
  (`test_workers_that_are_replaced_run_what_the_study_began_with`, `test_restore_says_what_differs`)
- A trial finds the working directory, variables, import path and umask of its own driver, whatever earlier studies and
  trials changed: [what a trial inherits](workers.md#what-a-trial-inherits). (`tests/pool/test_driver_state.py`,
  `tests/pool/test_what_a_trial_inherits.py`)
- A part of the history is never taken for the whole: a run that stops by itself is not the best.
  (`test_the_recipe_of_the_documentation_gives_no_prefix_for_the_best`)

**Drivers**

- A driver that is killed leaves no process behind, and the next one continues where it stopped.
  (`test_nobody_is_left_of_a_driver_that_is_killed`, `test_kill_9_then_resume`)
- Two drivers never run one study: the second is refused with the process id and host of the first. The lock ends with its
  process. A file system without locks is named as such. (`test_the_second_driver_is_refused_with_the_pid_of_the_first`,
  `test_only_a_lock_that_is_held_means_another_process`)
- Ctrl-C, SIGTERM and a closed terminal stop a study so that it can be resumed; under `nohup` a closed terminal stops
  nothing. (`test_ctrl_c_stops_cleanly_with_130_and_the_study_can_be_resumed`,
  `test_a_closed_terminal_ends_a_study_that_can_be_resumed`, `test_nohup_keeps_a_study_running`)
- Without memory, descriptors, disk space or a working directory, and with closed or full streams, each command ends in a
  known exit code and a sentence. (`test_some_calls_under_some_faults`, `test_every_call_under_every_fault`)

**Disks**

- A power cut takes at most the events since the last flush, which runs every second, and never gives a wrong one. 3,000
  states that a power cut can leave, with writes lost, reordered and torn, were opened and resumed.
  (`test_1500_power_cuts`)
- A system call on a study's folder that fails, whichever it is, ends in the right table or in a sentence, and the study
  can be resumed. (`test_every_call_fails`)
- If the disk does not take a flush, the study reports the file and the error, pauses, tries again for a minute and ends as
  resumable. `journal.sqlite-flushed` certifies nothing that was written before the failure until it is written again.
  (`test_a_study_whose_log_never_reaches_the_disk_ends_with_a_sentence_and_is_resumed`,
  `test_what_was_written_before_a_failed_flush_is_written_again_before_it_is_certified`)
- A full disk, a used-up quota, or another process that holds the journal pauses a study until that is over. Ctrl-C then
  stops it, and it can be resumed. (`test_it_goes_on_when_there_is_room`, `test_a_study_pauses_and_goes_on`,
  `test_a_quota_that_is_used_up_is_a_full_disk_and_no_fault`)
- A study's definition and folders are on the disk before its first trial.
  (`test_a_new_study_is_on_the_disk_before_its_first_trial`)
- A journal in which a disk changed something gives every event as it was written or is refused with a sentence. Where the
  damage is in the log, it may also give the events before it, if all that had been flushed are among them.
  (`test_damage_at_random_places`, `test_damage_to_a_mirror`)
- A reader beside a running driver gets every event that was acknowledged and takes none of the driver's locks.
  (`test_a_reader_of_a_running_study_gets_every_acknowledged_event`,
  `test_a_reader_in_the_drivers_process_releases_none_of_its_locks`)

**Bundles, mirrors and Ray**

- Ingests and removals of bundles take turns, and each removes what a killed one left. (`test_the_registry_in_any_order`)
- Prices that change under a study are noticed at its end at the latest. The study says which, and its trials since the last
  check are marked and run again. (`tests/end_to_end/test_changed_prices.py`, `tests/data/test_checksums.py`)
- A declared end of a listing changes nothing before the holding is closed.
  (`test_before_the_first_close_out_a_declaration_changes_no_bit`)
- On a Ray of your own, a task of yours runs as soon as a study is done.
  (`test_a_task_of_the_user_runs_as_soon_as_a_study_is_done_and_the_next_study_finds_warm_workers`)
- Whatever the order of drivers, kills and takeovers, a mirror reads back as the events its owner pushed.
  (`test_a_mirror_in_any_order`)
- With a Ray of one's own, the death of its raylet or its control server ends the driver, and `rbt-ray resume` continues.
  Its folder is removed when it ends, or when the next one starts. (`test_studies_end_as_if_nothing_had_happened`,
  `test_folders_of_killed_drivers_are_removed_and_those_of_living_ones_stay`)
- On a cluster a lost host costs time and no trial; see [scaling](scaling.md). (`tests/cluster/test_lost_hosts.py`)

## What is left behind

An empty folder `pymp-*` with a socket stays in the temporary folder when a driver and its fork server are both killed.
A process that is killed while it copies a journal, to read it, leaves a folder `rbt-ray-journal-*` there. The next copy that
is made an hour later removes it. (`test_copies_that_killed_readers_left_are_removed_after_an_hour`)
Drafts of killed drivers are removed by the next driver after an hour.

## Hostile input

`make fuzz` throws generated input at the parsers, in a process that may hold little memory: {fuzz}
A case must end in a result or in a sentence.

## How it is counted

Each study runs in a process of its own, slow enough to be hit. Faults are drawn from the study's seed: which, how many, and
after how long. A driver that dies is followed by another, which resumes. Five kinds of study take turns: a grid with trials
that raise and one that ends its worker whenever it runs, random and Sobol points over prices (one with workers that are
recycled after 20 trials), BOHB over fidelities, and TPE. At the end of each:

- every trial is in the journal exactly once, and the statuses and the table's hash are those of the undisturbed study;
- another process reads the same table;
- no process that was started for the study lives, wherever it hangs in the process tree;
- the study's folder holds the journal and the lock, the temporary folder and a `/dev/shm` of its own hold nothing;
- the driver has no more descriptors open than the undisturbed one (on Ray within five seconds of the pool's end: Ray's
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


def page(tallies: Sequence[Tally], fuzzed: Mapping[str, int]) -> str:
    """The page's text.

    Args:
        tallies: of each backend.
        fuzzed: how many cases of each parser `tests.fuzz.run` counted.
    """
    struck = sum((Counter(tally.faults) for tally in tallies), Counter[str]())
    studies = sum((Counter(tally.studies) for tally in tallies), Counter[str]())
    failed = [text for tally in tallies for text in tally.failed]
    known = [*faults.RAY, *faults.LOCAL, *faults.ON_A_SMALL_DISK, *hosts.FAULTS]
    names = {fault.__name__: fault.__doc__ for fault in known}
    kinds = sorted({key.split()[1] for key in studies})
    return _PAGE.format(
        fuzz=", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in fuzzed.items()) + ".",
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
