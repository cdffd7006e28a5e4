"""What the fork server finds out about its modules after it has loaded them: imported last, for its effect.

A worker that did so itself would write to the memory of each module, which it shares with the others until then.
"""

import sys

from rbt_ray.objectives.interpreter import watched_names
from rbt_ray.pool import loaded_modules

watched_names(len(sys.modules))
loaded_modules.remember()
