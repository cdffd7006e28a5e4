"""Where batches wait for whichever worker is free first."""

from __future__ import annotations

import queue
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbt_ray.pool.pool import WorkItem


class BatchQueue:
    """Batches in the order they came. Whoever takes one asks whether it is still wanted."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[WorkItem | None] = queue.SimpleQueue()
        self._unwanted: dict[int, str] = {}

    def put(self, batch: WorkItem) -> None:
        """At its end; returns at once."""
        self._queue.put(batch)

    def stop_one(self) -> None:
        """One of those who take from it gets None, after all that waits."""
        self._queue.put(None)

    def take(self, *, wait: bool = True) -> WorkItem | None:
        """The first, as soon as there is one; None: nobody needs the taker any more.

        Raises:
            queue.Empty: there is none, and nobody is to wait.
        """
        return self._queue.get(wait)

    def clear(self) -> list[int]:
        """Takes all that waits, which comes back to nobody; its numbers."""
        numbers = []
        with suppress(queue.Empty):
            while (batch := self.take(wait=False)) is not None:
                numbers.append(batch.number)
        return numbers

    def cancel(self, number: int, reason: str) -> None:
        """The batch of that number is not wanted, until it is forgotten."""
        self._unwanted[number] = reason

    def forget(self, number: int) -> None:
        """The batch of that number came back."""
        self._unwanted.pop(number, None)

    def cancel_reason(self, number: int) -> str | None:
        """The reason why nobody wants it; None for one that is wanted."""
        return self._unwanted.get(number)
