"""Any values in Ray's object store, known by a reference that is plain bytes."""

from __future__ import annotations

import pickle
from typing import Any

import ray


def put(value: Any) -> bytes:
    """Copies a value into the store, where it stays until the driver's end: Ray cannot see who holds these bytes."""
    reference: bytes = ray.cloudpickle.dumps(ray.put(value))
    return reference


def get(reference: bytes) -> Any:
    """The value, whose arrays lie in the store of this node and cannot be written to."""
    return ray.get(pickle.loads(reference))
