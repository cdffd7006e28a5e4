"""rbt_ray on Ray actors, on a Ray of its own."""

from functools import partial

import rbt_local
import work

if __name__ == "__main__":
    work.serve(partial(rbt_local.ready, backend="ray"))
