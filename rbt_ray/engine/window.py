"""How many trials a search that learns keeps open if the user sets no number."""

from __future__ import annotations

from rbt_ray.study.study import Study

FEWEST, MOST = 4, 32
RESULTS_PER_TRIAL = 8


def open_limit(n_results: int, n_first: int) -> int:
    """Returns how many trials may be open when the searcher has received `n_results` results.

    One trial for every 8 results, at least 4 and at most 32: early results change the proposals most, and a proposal made
    before they arrive cannot use them. The first `n_first` proposals need no results. They may be open at once, with as many
    more as follow before the last of their results arrives.

    Args:
        n_results: the number of results.
        n_first: the number of proposals that need no results, such as a first design.
    """
    return min(MOST, max(FEWEST, n_first + FEWEST - 1 - n_results, n_results // RESULTS_PER_TRIAL))


def idle_note(study: Study, n_first: int, n_workers: int) -> str:
    """Returns a sentence on workers that idle because the default keeps few trials open; "" if none does.

    Args:
        study: the study's definition.
        n_first: the number of its searcher's proposals that need no results.
        n_workers: the number of workers.
    """
    least = min(open_limit(n_results, n_first) for n_results in range(MOST * RESULTS_PER_TRIAL))
    if study.max_pending is not None or n_workers <= least:
        return ""
    open_trials = f"at most {MOST} trials open"
    if least < MOST:
        open_trials = (
            f"{least} trials open after the first ones, and one for every {RESULTS_PER_TRIAL} results up to {MOST}"
        )
    until = f" until there are {n_workers * RESULTS_PER_TRIAL} results" if n_workers <= MOST else ""
    return (
        f"the search keeps {open_trials}, so some of the {n_workers} workers will idle{until}. "
        f"`max_pending={2 * n_workers}` of TuneConfig keeps all workers busy, but the search then needs more evaluations."
    )
