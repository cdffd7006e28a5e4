"""Re-exports the names of the metrics in a report."""

from rbt_ray.compat.ray_tune.session import DEFAULT_METRIC as DEFAULT_METRIC
from rbt_ray.compat.ray_tune.session import DONE as DONE
from rbt_ray.compat.ray_tune.session import EPISODE_REWARD_MEAN as EPISODE_REWARD_MEAN
from rbt_ray.compat.ray_tune.session import EXPERIMENT_TAG as EXPERIMENT_TAG
from rbt_ray.compat.ray_tune.session import HOSTNAME as HOSTNAME
from rbt_ray.compat.ray_tune.session import MEAN_ACCURACY as MEAN_ACCURACY
from rbt_ray.compat.ray_tune.session import MEAN_LOSS as MEAN_LOSS
from rbt_ray.compat.ray_tune.session import PID as PID
from rbt_ray.compat.ray_tune.session import SHOULD_CHECKPOINT as SHOULD_CHECKPOINT
from rbt_ray.compat.ray_tune.session import TIME_THIS_ITER_S as TIME_THIS_ITER_S
from rbt_ray.compat.ray_tune.session import TIME_TOTAL_S as TIME_TOTAL_S
from rbt_ray.compat.ray_tune.session import TIMESTAMP as TIMESTAMP
from rbt_ray.compat.ray_tune.session import TRAINING_ITERATION as TRAINING_ITERATION
from rbt_ray.compat.ray_tune.session import TRIAL_ID as TRIAL_ID
