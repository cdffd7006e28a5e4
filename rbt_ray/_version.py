"""The version, read by the build and by `rbt_ray.__version__`."""

__version__ = "0.1.0"
