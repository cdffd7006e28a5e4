"""What a worker sent back, checked where it enters the driver.

An objective may change anything in the process it runs in, our own code included. So the driver relies on nothing in a
message: it makes a `Returned` of its own from the parts that hold.
"""

from __future__ import annotations

from typing import Any, Protocol

from rbt_ray import recordable
from rbt_ray.pool.pool import Answer, Returned
from rbt_ray.recordable import require

_LONGEST_REASON = 10_000


class Sent(Protocol):
    """What was sent to a worker: a `Batch`, or anything else with an answer."""

    @property
    def number(self) -> int:
        """Unique in a driver."""
        ...

    def accept(self, answer: Any) -> Answer:
        """Returns the answer as the driver may use it; raises ValueError where it may not."""
        ...


def received(message: Any, sent: Sent, worker: str) -> Returned:
    """Returns what a worker sent back for a batch; where that is no answer to it, the batch is lost and the worker unfit.

    Args:
        message: what arrived.
        sent: the batch.
        worker: the name by which the driver knows the worker.
    """
    try:
        require(type(message) is Returned, "message", message)
        require(type(message.number) is int and message.number == sent.number, "number", message.number)
        lost = message.lost
        answer: Answer = None
        if lost is None:
            answer = sent.accept(message.answer)
        else:
            lost = recordable.text(lost)[:_LONGEST_REASON]
        cpu_s, started, wall_s = map(recordable.seconds, (message.cpu_s, message.started, message.wall_s))
        unfit = lost is not None or message.unfit is not False
    except (ValueError, AttributeError) as error:  # an object that was not made by its class may lack any attribute
        return Returned(sent.number, worker, lost=f"it sent an answer that cannot be recorded: {error}", unfit=True)
    return Returned(sent.number, worker, answer, lost, cpu_s=cpu_s, started=started, wall_s=wall_s, unfit=unfit)
