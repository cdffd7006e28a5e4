"""Prepares the fork server for objectives that read prices: importing this module has that effect."""

from rbt_ray.pool.local import fork_server

fork_server.prepare(prices=True)
