"""The parameter space and the study's definition."""
