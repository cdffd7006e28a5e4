"""Describes what an objective computes by text that is the same in every process, so that a resumed study can compare it."""
