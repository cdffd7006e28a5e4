"""Kernels that score many configs of a built-in objective in one pass over the bundle."""
