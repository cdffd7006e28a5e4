"""A Ray of one's own for the peers that run on Ray, with what makes it start and run fast."""

import os


def start(workers):
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AIR_NEW_OUTPUT="0", RAY_AUTH_MODE="disabled")
    import ray

    ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    return ray
