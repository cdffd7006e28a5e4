"""Worker pools, which transfer batches to workers and back."""
