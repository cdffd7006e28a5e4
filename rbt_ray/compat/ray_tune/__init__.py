"""Ray Tune's names and what they mean, on our engine: what `rbt_ray.tune` and its modules offer."""
