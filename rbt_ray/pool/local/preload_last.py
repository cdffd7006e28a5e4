"""What the fork server does once it has loaded its modules: imported last, for its effect.

Workers share the memory of the modules until they write to it, as they would in finding out about modules themselves, or
in collecting garbage among what the server made.
"""

import gc

from rbt_ray.objectives.interpreter import Interpreter
from rbt_ray.pool import loaded_modules

Interpreter()
loaded_modules.remember()
gc.collect()
gc.freeze()
