"""The user interface: sets up, runs and resumes studies, and reads their results."""
