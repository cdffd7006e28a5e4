"""Ray Tune's interface over rbt_ray's engine; `rbt_ray.tune` re-exports it."""
