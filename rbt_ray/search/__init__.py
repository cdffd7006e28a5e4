"""What to try next: searchers, which are pure."""
