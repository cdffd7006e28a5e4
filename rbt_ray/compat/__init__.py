"""Names that users of other packages know, over rbt_ray's own pools and Tuner."""
