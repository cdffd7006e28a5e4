"""Where it runs: worker pools, which move batches and know nothing else."""
