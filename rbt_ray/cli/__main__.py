"""`python -m rbt_ray.cli` is `rbt-ray`."""

from rbt_ray.cli.main import main

main()
