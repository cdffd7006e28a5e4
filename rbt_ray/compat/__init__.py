"""Interfaces of other packages over rbt_ray's engine."""
