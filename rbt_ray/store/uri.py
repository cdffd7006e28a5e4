"""URIs of studies: parsing, display without secrets, and the matching folders of this machine."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters or more: one letter is a drive of Windows
_USER = re.compile(
    r"([A-Za-z][\w+.-]*:)?//([^/?@\s]*@|[^?\s]*:[^?\s]*@)"
)  # a key with a slash is invalid, and still secret
_QUERY = re.compile(r"([?&])([\w.-]+)=([^&\s]*)")
_SHOWN = (
    "region", "scheme", "endpoint_override", "retry_limit_seconds", "allow_bucket_creation", "allow_bucket_deletion",
    "blob_storage_authority", "dfs_storage_authority", "tls", "anonymous",
)  # fmt: skip
"""Query parameters that may be shown; any other may be a key or a signature."""
_GOOGLE = ("gs", "gcs")
_GOOGLE_RETRY_LIMIT = "retry_limit_seconds=30"  # the library's own is 15 minutes


def is_uri(path: str | Path) -> bool:
    """Returns whether it is a URI rather than a path."""
    return isinstance(path, str) and _URI.match(path) is not None


def child(uri: str, name: str) -> str:
    """Appends a name to the path of a URI; a query stays at the end."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))


def name_in(uri: str) -> str:
    """Returns the last part of the path."""
    return urlsplit(uri).path.rstrip("/").rpartition("/")[2]


def without_secrets(text: str) -> str:
    """Removes users, passwords, keys and signatures from a URI, or from a message with URIs."""
    return _QUERY.sub(_shown_value, _USER.sub(_without_user, text))


def _without_user(found: re.Match[str]) -> str:
    scheme, user = found[1] or "", found[2]
    is_container = scheme.startswith("abfs") and ":" not in user  # Azure writes the container before the account
    return found[0] if is_container else f"{scheme}//"


def _shown_value(found: re.Match[str]) -> str:
    return found[0] if found[2] in _SHOWN else f"{found[1]}{found[2]}=..."


def with_retry_limit(uri: str) -> str:
    """Adds a retry limit to the URI if the default of its library is too long."""
    parts = urlsplit(uri)
    if parts.scheme not in _GOOGLE or "retry_limit_seconds" in parts.query:
        return uri
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, _GOOGLE_RETRY_LIMIT)))))


def local_folder(uri: str) -> Path:
    """Returns the folder of this machine for the journal that is mirrored at a URI.

    It is ``<home>/studies/<name>-<digest of the URI>``. The home is `RBT_RAY_HOME`, else the user's data folder. It has to be
    on a local disk, because SQLite's write-ahead log is unsafe on shared folders.
    """
    shown = without_secrets(uri).rstrip("/")
    folder = f"{name_in(uri)}-{hashlib.sha256(shown.encode()).hexdigest()[:12]}"
    if home := os.environ.get("RBT_RAY_HOME"):
        return Path(home).expanduser() / "studies" / folder
    import platformdirs

    return Path(platformdirs.user_data_dir("rbt_ray")) / "studies" / folder
