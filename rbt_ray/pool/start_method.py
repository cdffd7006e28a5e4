"""How worker processes come to be, and the fork server that has loaded what they need before they are asked for."""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.context import BaseContext
from typing import Literal

from rbt_ray.errors import SettingError

StartMethod = Literal["fork", "forkserver", "spawn"]
VARIABLE = "RBT_RAY_START_METHOD"
FOR_PRICES = "rbt_ray.pool.preload_prices"


def context_for(wanted: StartMethod | None = None, *, prices: bool = False) -> BaseContext:
    """The way to start processes: forkserver on Linux, else spawn, unless the caller or the environment says otherwise.

    A driver has one fork server: what it loads, the first who needs it decides.

    Args:
        wanted: the start method; None: as above.
        prices: have the fork server load what workers need for prices, too, once for all of them.

    Raises:
        SettingError: the environment names one that this system has not.
    """
    known = multiprocessing.get_all_start_methods()
    name = wanted or os.environ.get(VARIABLE) or ("forkserver" if sys.platform.startswith("linux") else "spawn")
    if name not in known:
        raise SettingError(f"{VARIABLE} is one of {', '.join(known)} here; got {name!r}.")
    context = multiprocessing.get_context(name)
    if name == "forkserver":
        context.set_forkserver_preload(["rbt_ray.pool.preload", *([FOR_PRICES] if prices else [])])
    return context


def prepare() -> None:
    """Starts the fork server, where there is to be one: it loads numpy, numba and the kernels while the caller goes on."""
    if context_for(prices=True).get_start_method() == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()
