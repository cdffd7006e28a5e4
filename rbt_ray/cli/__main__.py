"""Runs `rbt-ray` as `python -m rbt_ray.cli`."""

from rbt_ray.cli.main import main

main()
