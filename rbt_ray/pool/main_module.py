"""The user's script in processes that multiprocessing started: there it is a module that nobody else can import."""

from __future__ import annotations

import sys

import cloudpickle

_SPAWNED_MAIN = "__mp_main__"


def pickle_main_by_value() -> None:
    """Lets cloudpickle send what a script defines by value in a spawned process, too, as it does in the script's own."""
    module = sys.modules.get(_SPAWNED_MAIN)
    if module is not None:
        cloudpickle.register_pickle_by_value(module)
