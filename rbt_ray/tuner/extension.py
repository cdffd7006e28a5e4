"""Extends a study that exists: to more configs, to a higher cost, or to a grid that contains the earlier one."""

from __future__ import annotations

from rbt_ray.errors import SettingError, SpaceError, StudyMismatchError
from rbt_ray.search.fixed_sequence import FixedSequence
from rbt_ray.search.registry import make_searcher
from rbt_ray.store.journal import Extended, Journal
from rbt_ray.study.limits import Limits
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study
from rbt_ray.types import FloatArray


def extension(study: Study, wanted: Limits, space: Space) -> Extended | None:
    """Returns the event that extends a study to these limits and this space; None if it has them.

    Args:
        study: the definition of the study.
        wanted: the limits.
        space: the space, with the study's constraints.

    Raises:
        SettingError: a limit is lower than that of the study.
        StudyMismatchError: the space is another one, and no grid that contains the study's.
    """
    for name in ("num_samples", "max_cost"):
        now, new = getattr(study, name), getattr(wanted, name)
        if new is not None and (now is None or new < now):
            limit = "no limit" if now is None else f"{name}={now:,}"
            raise SettingError(
                f"the study {study.name!r} has {limit}, and {name}={new:,} is lower: a study can be extended and not shortened. "
                f"Leave `{name}` out, or begin a study under another name."
            )
    if space.fingerprint != study.space.fingerprint:
        return Extended(wanted.num_samples, wanted.max_cost, space.to_json(), _earlier_configs(study, space))
    return None if wanted == study.limits else Extended(wanted.num_samples, wanted.max_cost)


def _earlier_configs(study: Study, space: Space) -> FloatArray:
    """Returns ``(n, n_params)`` all configs of a grid study, as points of a space that contains them."""
    searcher = make_searcher(study) if study.search_alg == "grid" and study.scheduler is None else None
    if not isinstance(searcher, FixedSequence):
        raise StudyMismatchError(
            f"`param_space` is not the one the study {study.name!r} was begun with. Only a grid without a scheduler can be "
            f"extended to a space that contains its own."
        )
    try:
        space.require_options()
        study.space.require_options()
        Space.from_json(space.to_json()).require_options()
        earlier = searcher.ask(study.n_planned or study.space.grid_size).points
        return space.encode(study.space.decode(earlier))
    except SpaceError as error:
        raise StudyMismatchError(
            f"`param_space` is not the one the study {study.name!r} was begun with, and does not contain it: {error}"
        ) from error


def record_extension(journal: Journal, event: Extended, study: Study) -> None:
    """Appends the extension to the journal of a study, whose definition already has it.

    Raises:
        StudyMismatchError: another process has extended the study since its definition was read.
    """
    if len(journal.extensions()) != len(study.phases) - 1:
        raise StudyMismatchError(
            f"another process has extended the study {study.name!r} since it was opened: open it again with `Tuner.restore`."
        )
    journal.append(event)
