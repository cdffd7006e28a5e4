"""Well-known strategies with parameters to search, each an objective that scores a batch of configs in one pass.

Each has a module of its own, and `rbt_ray/objectives/__init__.py` lists them: add a new one there.
"""
