"""What the fork server loads once, so that every worker starts with it: imported for its effect."""

import signal

from rbt_ray.pool import process_setup
from rbt_ray.pool.local import socket_folder

for number in ("SIGINT", "SIGHUP"):  # both reach the whole terminal; the fork server must outlive them
    if hasattr(signal, number):
        signal.signal(getattr(signal, number), signal.SIG_IGN)
process_setup.use_one_thread()
process_setup.keep_freed_memory()
socket_folder.remove_after_a_driver_that_was_killed()

import cloudpickle  # noqa: E402, F401

import rbt_ray.pool.local.main_loop  # noqa: E402
import rbt_ray.pool.worker  # noqa: E402, F401
