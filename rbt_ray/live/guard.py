"""Answers only the page of this server, opened by someone who has its address: the token is part of it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    b"cache-control": b"no-store",
    b"content-security-policy": POLICY.encode(),
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",  # the address has the token
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}


class Guard:
    """An ASGI application in front of another one, which gets only requests that may be answered.

    Another user of the machine does not know the token. Another site's page, which a browser may send here, neither knows it nor
    has this server's origin; a name of that site that resolves to 127.0.0.1 does not help it, because the Host header has the
    name. A request that is refused learns nothing but that.

    Args:
        app: gets the path after the token.
        token: the first part of the path.
        port: of the loopback interface.
    """

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        status = self._refusal(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", [])}
                more = [(name, value) for name, value in _HEADERS.items() if name not in given]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        if status is not None:
            await send_guarded({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        _, _, path = scope["path"][1:].partition("/")
        await self._app({**scope, "path": f"/{path}", "raw_path": f"/{path}".encode()}, receive, send_guarded)

    def _refusal(self, scope: Message) -> int | None:
        """Returns the status of a refused request; None if it may be answered."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 421
        origins = headers.get(b"origin", [])
        own = b"http://" + hosts[0]
        if any(origin != own for origin in origins) or (scope["method"] == "POST" and not origins):
            return 403
        if not {b"none", b"same-origin"}.issuperset(headers.get(b"sec-fetch-site", [])):
            return 403
        first = scope["path"][1:].partition("/")[0].encode("utf-8", "replace")
        return None if secrets.compare_digest(first, self._token) else 404
