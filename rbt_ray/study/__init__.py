"""What is asked: the parameter space and the study's definition."""
