"""The loop: ask, write down, run, write down, tell."""
