"""How many trials a study will have."""

from __future__ import annotations

from rbt_ray.search.registry import recorded_kind
from rbt_ray.study.study import Study


def planned_trials(study: Study) -> int | None:
    """Returns the number of trials the study will have; None if it is not known.

    Raises:
        JournalError: neither this version of rbt_ray nor an installed package defines the study's search.
        InputError: two packages define its name, or the package that defines it cannot be imported.
    """
    if (study.scheduler is not None and study.lowest_fidelity < 1) or study.max_reports is not None:
        return None
    known = [n for n in (study.space.size, study.num_samples) if n is not None]
    return min(known) if known and recorded_kind(study).limits_itself else study.num_samples
