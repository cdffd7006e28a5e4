"""One Ray of our own for the tests of this process that run one after the other, each of which would start another."""

import rbt_ray as rbt

_connection = None


def keep():
    """Starts a Ray with two processors, unless one is kept already; pools of this process use it until `release`."""
    global _connection
    from rbt_ray.pool.ray import runtime

    if _connection is None:
        _connection = runtime.join(None, 2)


def release():
    """Ends the idle workers, and the Ray that `keep` started once no other pool uses it."""
    global _connection
    if _connection is not None:
        from rbt_ray.pool.ray import runtime

        rbt.shutdown()
        connection, _connection = _connection, None
        runtime.leave(connection)
