"""Export of a study's results to Optuna, MLflow and hpbandster."""
