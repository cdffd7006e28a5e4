"""A study's results in other tools: Optuna, MLflow, hpbandster."""
