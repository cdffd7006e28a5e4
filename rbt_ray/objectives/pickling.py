"""Pickles what users pass to workers, with definitions of their scripts and references to objects of Ray."""

from __future__ import annotations

import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import cloudpickle

from rbt_ray.errors import ObjectiveError


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """A pickler like cloudpickle's that also keeps the owner of a Ray `ObjectRef`.

    Without its owner, `ray.get` of a reference waits forever. Ray adds the owner only where its own pickler runs.

    Args:
        file: to write to.
        reducers: further entries of its `dispatch_table`.
        options: as cloudpickle's.
    """

    def __init__(self, file: io.BytesIO, *, reducers: Mapping[type, Any] | None = None, **options: Any) -> None:
        ray, client = map(sys.modules.get, ("ray", "ray.util.client.common"))
        kinds = getattr(ray, "ObjectRef", None), getattr(client, "ClientObjectRef", None)
        references = {kind: _reference for kind in kinds if kind is not None}
        # Before the base class is initialized, which reads it.
        self.dispatch_table = ChainMap(references, cloudpickle.Pickler.dispatch_table, dict(reducers or {}))
        super().__init__(file, **options)


def dumps(value: Any, **options: Any) -> bytes:
    """Returns a value pickled by `Pickler`, which takes the options."""
    with io.BytesIO() as file:
        Pickler(file, **options).dump(value)
        return file.getvalue()


def pack_reference(reference: Any) -> bytes:
    """Returns a pickled `ObjectRef` with its owner. Ray keeps its object until the driver exits."""
    ray: Any = sys.modules["ray"]
    packed: bytes
    if type(reference) is ray.ObjectRef:
        packed = ray.cloudpickle.dumps(reference)  # Ray cannot see who else holds the reference
    else:
        _of_client.append(reference)
        packed = ray.get(ray.remote(num_cpus=0)(_pack_on_cluster).remote([reference]))
    return packed


_of_client: list[Any] = []
"""References of a Ray Client, which knows no owners. Ray deletes an object when the client deletes its reference."""


def _pack_on_cluster(references: list[Any]) -> bytes:
    return pack_reference(references[0])


def _reference(reference: Any) -> tuple[Any, ...]:
    return _load_reference, (pack_reference(reference),)


def _load_reference(packed: bytes) -> Any:
    """Returns a reference in a process that is connected to Ray.

    Raises:
        ObjectiveError: the process is not connected, such as a worker of the local backend.
    """
    ray: Any = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        raise ObjectiveError(
            "an `ObjectRef` can only be read by workers on Ray. Set backend='ray', or pass the object itself, `ray.get(reference)`."
        )
    return pickle.loads(packed)
