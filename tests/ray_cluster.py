"""A Ray of several nodes, each of which is some processes of this machine, for scripts in a process of their own."""

import atexit

import ray
from ray.cluster_utils import Cluster


def start(**head):
    """Starts a head node with these settings and connects to it; `add_node` of what comes back adds others.

    Ray ends its nodes when the interpreter exits. If the driver is still connected then, Ray ends it with exit code 1, so that
    a script whose work is done fails by chance. Here the driver disconnects first.
    """
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **head})
    atexit.register(_stop, cluster)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    return cluster


def _stop(cluster):
    ray.shutdown()
    cluster.shutdown()
