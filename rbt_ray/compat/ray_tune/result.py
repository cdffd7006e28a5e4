"""Names of what Ray Tune adds to every report."""

from __future__ import annotations

from rbt_ray.compat.ray_tune.trainable_objective import SHOULD_CHECKPOINT as SHOULD_CHECKPOINT

DONE = "done"
TRAINING_ITERATION = "training_iteration"
TIME_THIS_ITER_S = "time_this_iter_s"
TIME_TOTAL_S = "time_total_s"
TIMESTAMP = "timestamp"
TRIAL_ID = "trial_id"
EXPERIMENT_TAG = "experiment_tag"
HOSTNAME = "hostname"
PID = "pid"
DEFAULT_METRIC = "_metric"
MEAN_LOSS = "mean_loss"
MEAN_ACCURACY = "mean_accuracy"
EPISODE_REWARD_MEAN = "episode_reward_mean"
