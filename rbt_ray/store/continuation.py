"""The definition of a study with its extensions, and its events in the space that it has now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rbt_ray.errors import JournalError, SpaceError
from rbt_ray.store.events import Asked, Evaluated, Event, Finished
from rbt_ray.store.extended import Extended
from rbt_ray.store.journal import Journal
from rbt_ray.study.limits import Limits
from rbt_ray.study.space import Space
from rbt_ray.study.study import Study


def study_of(journal: Journal, known: Study | None = None) -> Study:
    """Returns the definition of a journal's study, with all extensions.

    Args:
        journal: the journal.
        known: the definition, if the caller has it, with the extensions that it has seen.

    Raises:
        JournalError: the journal or the definition is damaged.
    """
    study = known or Study.from_json(journal.definition)
    for event in journal.extensions()[len(study.phases) :]:
        study = extended(study, event)
    return study


def extended(study: Study, event: Extended) -> Study:
    """Returns the definition of a study after an extension.

    Raises:
        JournalError: the extension is not of this study.
    """
    phases = (*study.phases, Limits(study.num_samples, study.max_cost))
    study = replace(study, phases=phases, num_samples=event.num_samples, max_cost=event.max_cost)
    if event.space is None:
        return study
    try:
        space = Space.from_json(event.space)
        if event.points.shape[1] != space.n_params or not space.has(event.points):
            raise ValueError("its configs are not of its space")
        return replace(study, space=space, points_to_evaluate=tuple(space.decode(event.points)))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise JournalError(f"an extension of the study {study.name!r} is damaged: {str(error)[:200]!r}.") from error


def with_space(study: Study, space: Space) -> Study:
    """Returns the definition with another space, equal to its own but with the options themselves instead of their names."""
    points = study.space.encode(study.points_to_evaluate)
    return replace(study, space=space, points_to_evaluate=tuple(space.decode(points)))


def in_current_space(events: Iterable[Event], journal: Journal, study: Study) -> Iterator[Event]:
    """Yields events with their configs in the study's current space; those of an earlier space are encoded again.

    What a search proposed in an earlier space is left out: its digests are of that space, and its configs are now the first
    of `points_to_evaluate`.

    Args:
        events: events of the journal, with all that extended the study.
        journal: the journal.
        study: its definition, with all extensions.

    Raises:
        JournalError: a config is not in the current space.
    """
    spaces = [event.space for event in journal.extensions()]
    left = sum(space is not None for space in spaces)
    if not left:
        yield from events
        return
    before = Space.from_json(journal.definition["space"])
    for event in events:
        if isinstance(event, Extended) and event.space is not None:
            left -= 1
            before = Space.from_json(event.space)
        if not left:
            yield event
        elif isinstance(event, Finished):
            yield _encoded(event, before, study)
        elif not isinstance(event, (Asked, Evaluated)):
            yield event


def _encoded(event: Finished, before: Space, study: Study) -> Finished:
    try:
        if event.points.shape[1] != before.n_params or not before.has(event.points):
            raise SpaceError("it has configs of another space.")
        return replace(event, points=study.space.encode(before.decode(event.points)))
    except SpaceError as error:
        raise JournalError(f"the journal of {study.name!r} is damaged: {error}") from error


def since_extension(events: list[Event]) -> list[Event]:
    """Returns the events after the last extension: all if there is none."""
    last = max((at for at, event in enumerate(events) if isinstance(event, Extended)), default=-1)
    return events[last + 1 :]
