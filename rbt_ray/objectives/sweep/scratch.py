"""Memory that sweeps use again: the operating system takes longer to provide new memory than kernels to fill it."""

from __future__ import annotations

import threading

from rbt_ray.objectives.sweep.layout import aligned
from rbt_ray.types import FloatArray

_memory = threading.local()


def scratch(name: str, size: int) -> FloatArray:
    """Returns ``(size,)`` numbers of any value, which must not be used after the thread's next call with this name."""
    memory: FloatArray | None = getattr(_memory, name, None)
    if memory is None or len(memory) < size:
        memory = aligned(size)
        setattr(_memory, name, memory)
    return memory[:size]
