"""What it is asked about: price bundles, their sources and the views that objectives get."""
