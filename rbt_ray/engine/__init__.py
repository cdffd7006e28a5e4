"""The main loop: ask, record, run, record, tell."""
