"""BatchQueue: batches that wait for the first free worker."""

from __future__ import annotations

import queue
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rbt_ray.pool.pool import WorkItem


class BatchQueue:
    """A first-in, first-out queue of batches. A consumer must ask `cancel_reason` before it starts a batch."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[WorkItem | None] = queue.SimpleQueue()
        self._cancelled: dict[int, str] = {}

    def put(self, batch: WorkItem) -> None:
        """Appends a batch; returns at once."""
        self._queue.put(batch)

    def stop_one(self) -> None:
        """Queues a stop signal: one consumer gets None after the queued batches."""
        self._queue.put(None)

    def take(self, *, wait: bool = True) -> WorkItem | None:
        """Removes and returns the first batch, or None if the consumer has to stop.

        Raises:
            queue.Empty: the queue is empty, and `wait` is False.
        """
        return self._queue.get(wait)

    def clear(self) -> list[int]:
        """Removes all batches and returns their numbers."""
        numbers = []
        with suppress(queue.Empty):
            while (batch := self.take(wait=False)) is not None:
                numbers.append(batch.number)
        return numbers

    def cancel(self, number: int, reason: str) -> None:
        """Marks the batch of that number as cancelled, until `forget`."""
        self._cancelled[number] = reason

    def forget(self, number: int) -> None:
        """Removes the mark of a batch that has been returned."""
        self._cancelled.pop(number, None)

    def cancel_reason(self, number: int) -> str | None:
        """Returns why the batch of that number was cancelled; None if it was not."""
        return self._cancelled.get(number)
