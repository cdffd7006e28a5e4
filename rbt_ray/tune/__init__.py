"""The Tune-style front: Tuner, TuneConfig, RunConfig, ResultGrid."""
