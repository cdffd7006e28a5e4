"""The Ray backend: workers as Ray actors."""
