"""Writes docs/reliability.md from the counts of chaos runs."""

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

This page says what happens to a study when processes, machines and disks fail, and how this was tested. The figures are the
unedited output of `tests/chaos`. `make chaos` runs it for hours, and each change is tested with it for a few minutes. Each
promise names its tests; `tests/test_promises.py` checks that they exist.

## What is promised

**Trials and tables**

- A trial whose result the search has used is in the journal, and survives kill -9 of any process.
  (`test_appended_events_survive_kill_9_of_the_writer`, `test_kill_9_then_resume`)
- Every trial is recorded once, and the table of a seeded study is the same, bit for bit, whatever failed while it ran.
  (`test_every_trial_is_recorded_once`, `test_studies_end_as_if_nothing_had_happened`)
- Every event that a journal accepts can be read. If a worker's answer cannot be recorded, its batch is treated as lost.
  (`test_what_is_accepted_is_read_as_it_was_and_the_rest_is_a_lost_batch`, `test_events_are_read_as_they_were_made`)
- A wrong clock, in a worker or in the driver, never makes a study unreadable. Impossible times are replaced by the nearest
  possible ones, and the table's hash stays the same. (`test_a_study_with_odd_clocks_in_its_worker_is_recorded_and_read`,
  `test_a_driver_whose_clock_is_odd_records_a_study_that_opens`)
- If an objective damages its worker, in any of about 140 ways, other trials complete with the right values, and local workers
  and Ray give the same table. (`test_every_hostile_objective_gives_the_same_table_on_both_backends`)
- Saving a file of your code while a study runs does not change its table. If you resume a study with other code or another
  state of the objective, this is refused with a list of the differences.
  (`test_workers_that_are_replaced_run_what_the_study_began_with`, `test_restore_says_what_differs`)
- A trial has the working directory, environment variables, import path and umask of its driver, whatever earlier studies and
  trials changed: [what a trial inherits](workers.md#what-a-trial-inherits). (`tests/pool/test_driver_state.py`,
  `tests/pool/test_what_a_trial_inherits.py`)
- A result on part of the history never counts as a result on all of it: a run that stops early is never the best.
  (`test_the_recipe_of_the_documentation_gives_no_prefix_for_the_best`)

**Drivers**

- A driver that is killed leaves no process behind, and the next one continues where it stopped.
  (`test_nobody_is_left_of_a_driver_that_is_killed`, `test_kill_9_then_resume`)
- Two drivers never run the same study. The second is refused with the process id and host of the first. The lock ends with its
  process. If the file system does not support locks, the error says so. (`test_the_second_driver_is_refused_with_the_pid_of_the_first`,
  `test_only_a_lock_that_is_held_means_another_process`)
- Ctrl-C, SIGTERM and closing the terminal stop a study so that you can resume it. Under `nohup`, closing the terminal has no
  effect. (`test_ctrl_c_stops_cleanly_with_130_and_the_study_can_be_resumed`,
  `test_a_closed_terminal_ends_a_study_that_can_be_resumed`, `test_nohup_keeps_a_study_running`)
- Without memory, descriptors, disk space or a working directory, and with closed or full streams, each command ends with a
  documented exit code and an error message. (`test_some_calls_under_some_faults`, `test_every_call_under_every_fault`)

**The verdict, and what follows a search**

- The figures of the verdict are the same for any number of workers, on Ray and after a kill -9, and `show` prints the verdict
  of the run. (`test_the_same_bits_on_any_workers_and_batches`, `test_the_same_bits_on_ray`,
  `test_kill_9_during_the_audit_then_resume`, `test_ray_gives_the_same_walk_forward_and_verdict`,
  `test_a_run_and_show_print_the_same_word_and_sentence`)
- Changing later prices changes no choice in an earlier window. (`test_prices_after_any_bar_change_no_bit_of_a_choice_made_before`,
  `test_later_prices_change_no_bit_of_an_earlier_window`)
- A validation that was killed continues and has the same result. (`test_a_validation_that_was_killed_continues_and_has_the_same_result`)
- Robustness checks change neither the trial table nor the verdict, and give the same figures for any number of workers and on Ray.
  (`test_the_study_and_its_verdict_stay_as_they_are`, `test_one_worker_finds_the_same`, `test_ray_finds_the_same`)
- The number of open trials follows from the number of results, and never from workers or time.
  (`test_the_table_is_the_same_for_any_number_of_workers`, `test_an_interrupted_study_ends_in_the_same_table`)
- A study of several metrics has the same table for any number of workers, on Ray and after a stop.
  (`test_the_table_does_not_depend_on_the_number_of_workers`, `test_a_study_on_ray_has_the_table_of_a_local_one`,
  `test_a_study_that_was_stopped_continues_to_the_same_table`)
- An extended study has the table of one that had the later limits from the start. If the search learns, its table depends on the
  limits alone, and not on when you extended it. (`test_a_search_that_does_not_learn_gives_the_table_asked_for_at_once`,
  `test_the_table_does_not_depend_on_when_the_study_was_extended`, `test_kill_9_of_an_extension`)

**Disks**

- A power cut loses at most the events since the last flush, which runs every second, and never produces a wrong event. In
  tests, 3,000 states that a power cut can leave, with lost, reordered and torn writes, were opened and resumed.
  (`test_1500_power_cuts`)
- If any system call on a study's folder fails, the study ends with the right table or with an error message, and you can
  resume it. (`test_every_call_fails`)
- If a flush to disk fails, the study reports the file and the error, pauses, retries for a minute and then ends so that you can
  resume it. Events that were written before the failure count as flushed (in `journal.sqlite-flushed`) only after they are
  written again.
  (`test_a_study_whose_log_never_reaches_the_disk_ends_with_a_sentence_and_is_resumed`,
  `test_what_was_written_before_a_failed_flush_is_written_again_before_it_is_certified`)
- A full disk, an exhausted quota, or another process that locks the journal pauses a study until the cause is gone. You can
  stop the paused study by Ctrl-C and resume it later. (`test_it_goes_on_when_there_is_room`, `test_a_study_pauses_and_goes_on`,
  `test_a_quota_that_is_used_up_is_a_full_disk_and_no_fault`)
- A study's definition and folders are on disk before its first trial.
  (`test_a_new_study_is_on_the_disk_before_its_first_trial`)
- A damaged journal gives every event as it was written, or is refused with an error message. If the write-ahead log is damaged,
  the journal may also end before the damage, provided that all flushed events are present.
  (`test_damage_at_random_places`, `test_damage_to_a_mirror`)
- A reader of a running study gets every acknowledged event and takes none of the driver's locks.
  (`test_a_reader_of_a_running_study_gets_every_acknowledged_event`,
  `test_a_reader_in_the_drivers_process_releases_none_of_its_locks`)

**Bundles, mirrors and Ray**

- Ingests and removals of bundles are serialized, and each removes the files that a killed one left. (`test_the_registry_in_any_order`)
- If prices change while a study runs, this is detected at its end at the latest. The study names them, marks its trials since
  the last check as failed, and runs them again when resumed. (`tests/end_to_end/test_changed_prices.py`, `tests/data/test_checksums.py`)
- A declared end of a listing changes no bar before the one on which the holding is closed.
  (`test_before_the_first_close_out_a_declaration_changes_no_bit`)
- On a Ray that you started, your own tasks run as soon as a study is done.
  (`test_a_task_of_the_user_runs_as_soon_as_a_study_is_done_and_the_next_study_finds_warm_workers`)
- For any order of drivers, kills and takeovers, reading a mirror gives the events that its owner pushed.
  (`test_a_mirror_in_any_order`)
- If the raylet or the control server of a Ray that rbt_ray started dies, the driver ends, and `rbt-ray resume` continues the
  study. The folder of that Ray is removed when it ends, or when the next one starts. (`test_studies_end_as_if_nothing_had_happened`,
  `test_folders_of_killed_drivers_are_removed_and_those_of_living_ones_stay`)
- On a cluster, a lost host delays its trials but loses none; see [scaling](scaling.md). (`tests/cluster/test_lost_hosts.py`)

## What is left behind

If a driver and its fork server are both killed, a folder `pymp-*` with a socket stays in the temporary folder. A process that is
killed while it copies a journal to read it leaves a folder `rbt-ray-journal-*` there. The first reader that makes a copy more
than an hour later removes it. (`test_copies_that_killed_readers_left_are_removed_after_an_hour`)
The next driver removes temporary files of killed drivers once they are an hour old.

## Malicious input

`make fuzz` runs the parsers on generated input, in a process with little memory: {fuzz}
Each case must give a result or an error message.

## Method

Each study runs in its own process, slowly enough that faults hit it. The study's seed determines the faults: which, how many
and when. When a driver dies, another one resumes the study. There are five kinds of study: a grid in which some trials raise
and one always kills its worker; random points and Sobol points over prices, one of them with workers that are recycled after
20 trials; BOHB over several fidelities; and TPE. After each study:

- every trial is in the journal exactly once, and the statuses and the table's hash equal those of the same study without faults;
- another process reads the same table;
- no process of the study is running, wherever it is in the process tree;
- the study's folder holds only the journal and the lock, and its private temporary folder and `/dev/shm` are empty;
- the driver has no more open descriptors than without faults (on Ray, within five seconds after the pool ends, and without those
  of connections that have ended, some of which Ray keeps);
- no driver printed a traceback, and no driver ended early unless a fault caused it.

On several hosts (a head and two workers, as Linux namespaces), one study with trials that draw random numbers runs while hosts
are killed and links cut. Lost hosts are replaced. Its table must equal that of the local pool, and no worker may be left.

A failure prints the seed that reproduces it: `python -m tests.chaos run --seed SEED --backend BACKEND`.

## Results

{n_faults:,} faults in {n_studies:,} studies, which took {n_drivers:,} drivers; {n_failed} of the studies failed a check.
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
        tallies: one per backend.
        fuzzed: the number of cases per parser from `tests.fuzz.run`.
    """
    counts = sum((Counter(tally.faults) for tally in tallies), Counter[str]())
    studies = sum((Counter(tally.studies) for tally in tallies), Counter[str]())
    failed = [text for tally in tallies for text in tally.failed]
    known = [*faults.RAY, *faults.LOCAL, *faults.ON_A_SMALL_DISK, *hosts.FAULTS]
    names = {fault.__name__: fault.__doc__ for fault in known}
    kinds = sorted({key.split()[1] for key in studies})
    return _PAGE.format(
        fuzz=", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in fuzzed.items()) + ".",
        n_faults=counts.total(),
        n_studies=studies.total() + len(failed),
        n_drivers=sum(tally.drivers for tally in tallies),
        n_failed=len(failed) or "none",
        machine=_machine(),
        fault_rows=_rows(counts, {name: str(text).rstrip(".") for name, text in names.items()}),
        n_local=sum(n for key, n in counts.items() if key.startswith("local ")),
        n_ray=sum(n for key, n in counts.items() if key.startswith("ray ")),
        n_hosts=sum(n for key, n in counts.items() if key.startswith("hosts ")),
        study_rows=_rows(studies, dict(zip(kinds, kinds, strict=True))),
        failures="".join(f"\n- `{_brief(text)}`" for text in failed),
    )


def _rows(counts: Counter[str], shown: dict[str, str]) -> str:
    return "\n".join(
        f"| {text} | {' | '.join(str(counts[f'{where} {name}'] or '-') for where in ('local', 'ray', 'hosts'))} |"
        for name, text in shown.items()
    )


def _brief(text: str) -> str:
    """The seed and the start of the failed check's message, without this machine's paths."""
    words = re.sub(r"\S*/\S+", "...", " ".join(text.split()))
    return "".join(letter for letter in words if letter.isprintable() and letter != "`")[:160]


def _machine() -> str:
    python = ".".join(map(str, sys.version_info[:3]))
    return (
        f"On {os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {python}, Ray {version('ray')}, with "
        f"other work on the machine."
    )
