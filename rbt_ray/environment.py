"""The environment variables that this process has changed since it imported rbt_ray."""

from __future__ import annotations

import os
from collections.abc import Mapping

_AT_IMPORT = dict(os.environ)


def changes(variables: Mapping[str, str]) -> dict[str, str | None]:
    """Returns the variables that were set, changed or removed since the import; a removed one is None.

    Args:
        variables: all of them as they are now.
    """
    found: dict[str, str | None] = {name: value for name, value in variables.items() if _AT_IMPORT.get(name) != value}
    return found | {name: None for name in _AT_IMPORT if name not in variables}
