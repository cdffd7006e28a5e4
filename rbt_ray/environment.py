"""The environment variables that this process has changed since it imported rbt_ray."""

from __future__ import annotations

import os
from collections.abc import Mapping

_at_import = dict(os.environ)
_changed: set[str] = set()


def changes(variables: Mapping[str, str]) -> dict[str, str | None]:
    """Returns the variables that were set, changed or removed since the import; a removed one is None.

    A variable that was changed back counts as changed, because a Ray that was started in between has the other value.

    Args:
        variables: the current environment.
    """
    names = variables.keys() | _at_import.keys()
    _changed.update(name for name in names if variables.get(name) != _at_import.get(name))
    return {name: variables.get(name) for name in _changed}
