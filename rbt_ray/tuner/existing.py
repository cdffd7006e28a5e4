"""What a new Tuner does with a study of its name that exists: `RunConfig(exist="refuse" | "resume" | "new")`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from rbt_ray.errors import StudyExistsError, StudyLockedError, StudyMismatchError
from rbt_ray.store.location import StudyLocation
from rbt_ray.study.study import Study
from rbt_ray.tuner.plan import StudyPlan, plan_restored
from rbt_ray.tuner.storage_folder import study_path

_NOT_COMPARED = {
    *("name", "objective", "space", "space_fingerprint", "accounting", "points_to_evaluate"),  # compared elsewhere
    *("num_samples", "max_cost", "phases", "time_budget_s"),  # limits
    *("run", "why", "most_results"),
}
_CHOSEN_BY_AUTO = {"search_alg", "search_options", "scheduler", "lowest_fidelity", "max_pending"}
_SETTINGS = {"lowest_fidelity": "min_fidelity", "search_options": "search_alg"}
"""Fields of a definition that have another name, or none of their own, in TuneConfig."""
_LONGEST = 80


def first_choice(plan: StudyPlan) -> StudyPlan:
    """Returns what a new Tuner is going to run, as far as that is known before its study is locked.

    Raises:
        StudyExistsError: there is a study of that name, and `exist` is "refuse".
        StudyMismatchError: there is one that differs in more than its limits, and `exist` is "resume".
    """
    if plan.run_config.exist == "new":
        return next(one for one in _by_names(plan) if one.location.holder() is None)
    return plan if plan.location.holder() is None else _continued(plan)


@contextmanager
def locked(plan: StudyPlan) -> Iterator[StudyPlan]:
    """Locks a study against other drivers, and yields what to run.

    Another driver may have begun a study of that name since `first_choice`. With ``exist="new"``, a name that another driver
    has locked counts as taken.

    Raises:
        StudyExistsError: see `first_choice`.
        StudyMismatchError: see `first_choice`.
        StudyLockedError: another driver runs the study.
    """
    takes_another = plan.is_new and plan.run_config.exist == "new"
    for candidate in _by_names(plan) if takes_another else [plan]:
        with ExitStack() as stack:
            try:
                stack.enter_context(candidate.location.locked())
            except StudyLockedError:
                if takes_another:
                    continue
                raise
            exists = candidate.location.holder() is not None
            if exists and takes_another:
                continue
            if exists:
                candidate.location.reconcile()
            yield _continued(candidate) if exists and candidate.is_new else candidate
            return


def _by_names(plan: StudyPlan) -> Iterator[StudyPlan]:
    """Yields the study by its name, and then by `name-2`, `name-3` and so on."""
    yield plan
    name = plan.run_config.name or plan.study.name
    for number in itertools.count(2):
        study = replace(plan.study, name=f"{name}-{number}")
        location = StudyLocation(study_path(plan.run_config, study.name), plan.run_config.mirror_interval_s)
        yield replace(plan, study=study, location=location)


def _continued(plan: StudyPlan) -> StudyPlan:
    """Returns the plan that continues the study of this name.

    Raises:
        StudyExistsError: `exist` is "refuse".
        StudyMismatchError: the study differs in more than its limits; the message says what differs.
    """
    name = plan.location.display_name
    if plan.run_config.exist != "resume":
        raise StudyExistsError(
            f"there is a study in {plan.location.holder()} already. Continue it with `rbt-ray resume {name}` or "
            f"`Tuner.restore({name!r}, objective)`, set `exist` to 'resume' or 'new', or choose another `name`."
        )
    restored = plan_restored(
        study_path(plan.run_config, plan.study.name),
        plan.objective,
        plan.study.space,
        plan.search_alg,
        plan.run_config,
        accept_changes=False,
        limits=lambda _: plan.study.limits,
    )
    if found := _differences(restored.study, plan):
        raise StudyMismatchError(
            f"the study in {name} was begun with other settings: {'; '.join(found)}. Only `num_samples`, `max_cost` and "
            f"`time_budget_s` may differ: pass the settings of the study, set `exist` to 'new', or choose another `name`."
        )
    budget = restored.time_budget_s if plan.time_budget_s is None else plan.time_budget_s
    # The same place, so that its lock and its lease stay those of this driver.
    return replace(restored, location=plan.location, time_budget_s=budget)


def _differences(study: Study, plan: StudyPlan) -> list[str]:
    """Returns how a study differs from a new one, a phrase for each setting."""
    ignored = _NOT_COMPARED | plan.derived
    if study.why and plan.study.why:  # then "auto" chose both searches
        ignored |= _CHOSEN_BY_AUTO
    before, now = _plain(study), _plain(plan.study)
    found = [
        f"`{_SETTINGS.get(name, name)}` was {_shown(before[name])} and is {_shown(value)}"
        for name, value in now.items()
        if name not in ignored and before[name] != value
    ]
    points = before["points_to_evaluate"]  # with the configs of an earlier grid behind those of the user
    if now["points_to_evaluate"] != (points[: len(now["points_to_evaluate"])] if study.phases else points):
        found.append("`points_to_evaluate` has other configs")
    return found


def _plain(study: Study) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(study.to_json()))
    return plain


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
