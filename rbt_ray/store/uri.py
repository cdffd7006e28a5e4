"""Places named by URIs: how they are written, shown and kept apart on this machine."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters and more: one is a drive of Windows
_USER = re.compile(
    r"([A-Za-z][\w+.-]*:)?//([^/?@\s]*@|[^?\s]*:[^?\s]*@)"
)  # a key with a slash in it is no good, and still a key
_QUERY = re.compile(r"([?&])([\w.-]+)=([^&\s]*)")
_SHOWN = (
    "region", "scheme", "endpoint_override", "retry_limit_seconds", "allow_bucket_creation", "allow_bucket_deletion",
    "blob_storage_authority", "dfs_storage_authority", "tls", "anonymous",
)  # fmt: skip
"""What a query may hold that everybody may read; anything else may be a key or a signature."""
_GOOGLE = ("gs", "gcs")
_GOOGLE_PATIENCE = "retry_limit_seconds=30"  # the library's own is 15 minutes


def is_uri(path: str | Path) -> bool:
    """Whether it is a URI rather than a path."""
    return isinstance(path, str) and _URI.match(path) is not None


def child(uri: str, name: str) -> str:
    """The URI of what is called `name` below another; a query stays at the end."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def name_in(uri: str) -> str:
    """The last part of the path."""
    return urlsplit(uri).path.rstrip("/").rpartition("/")[2]


def without_secrets(text: str) -> str:
    """A URI, or a message with URIs in it, as it may be shown: without users, passwords, keys and signatures."""
    return _QUERY.sub(_shown_value, _USER.sub(_without_user, text))


def _without_user(found: re.Match[str]) -> str:
    scheme, user = found[1] or "", found[2]
    is_container = scheme.startswith("abfs") and ":" not in user  # Azure writes the container before the account
    return found[0] if is_container else f"{scheme}//"


def _shown_value(found: re.Match[str]) -> str:
    return found[0] if found[2] in _SHOWN else f"{found[1]}{found[2]}=..."


def with_retry_limit(uri: str) -> str:
    """The URI with a bound on how long its library tries, where that has none of its own to speak of."""
    parts = urlsplit(uri)
    if parts.scheme not in _GOOGLE or "retry_limit_seconds" in parts.query:
        return uri
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, _GOOGLE_PATIENCE)))))


def local_folder(uri: str) -> Path:
    """Where this machine keeps the journal that is mirrored at a URI.

    ``<home>/studies/<name>-<digest of the URI>``. The home is `RBT_RAY_HOME`, else the user's data folder, and has to
    be on a local disk: SQLite's write-ahead log is unsafe on shared folders.
    """
    shown = without_secrets(uri).rstrip("/")
    folder = f"{name_in(uri)}-{hashlib.sha256(shown.encode()).hexdigest()[:12]}"
    if home := os.environ.get("RBT_RAY_HOME"):
        return Path(home).expanduser() / "studies" / folder
    import platformdirs

    return Path(platformdirs.user_data_dir("rbt_ray")) / "studies" / folder
