"""Serves the live page of a study by HTTP on the loopback interface, until nobody needs it any more."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, closing, suppress
from importlib import resources
from typing import Any

from rbt_ray.errors import RbtError, SettingError
from rbt_ray.live.guard import Guard, Message, Receive, Send
from rbt_ray.live.watch import Watch

IDLE_S = 600.0
"""How long the server waits, after the study has ended, for a page to be opened again."""
_ADDRESS = "127.0.0.1"
_LEAST_INTERVAL_S, _MOST_INTERVAL_S = 1.0, 10.0
_SHARE = 0.1  # of the time at most, so that the workers keep the processors
_HEARTBEAT_S = 15.0
_MOST_CONNECTIONS = 64
_FILES = {
    "": ("text/html; charset=utf-8", ("rbt_ray.live", "live.html")),
    "report.css": ("text/css; charset=utf-8", ("rbt_ray.reporting", "report.css")),
    "live.css": ("text/css; charset=utf-8", ("rbt_ray.live", "live.css")),
    "live.js": ("text/javascript; charset=utf-8", ("rbt_ray.live", "live.js")),
}
_REPORT_POLICY = "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"  # the report has its own, stricter one


def serve(watch: Watch, port: int, announce: Callable[[str], None], *, parent: int | None = None) -> None:
    """Serves the page until Ctrl-C, or until the study has ended and no page was open for `IDLE_S`.

    Args:
        watch: the study.
        port: of the loopback interface; 0 chooses a free one.
        announce: gets the page's address, which has the token: who knows it can read the page and stop the study.
        parent: the process that is about to begin the study: if it ends and there is no study, the server ends too.

    Raises:
        SettingError: nothing can listen at the port.
    """
    import uvicorn

    with closing(_listener(port)) as listener:
        port, token = listener.getsockname()[1], secrets.token_urlsafe(32)
        page = _Page(watch, parent)
        config = uvicorn.Config(
            Guard(page.app(), token, port),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="critical",
            access_log=False,  # it would have the token
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,  # an open page never ends its request
        )
        server = uvicorn.Server(config)
        page.end = lambda: setattr(server, "should_exit", True)
        announce(f"http://{_ADDRESS}:{port}/{token}/")
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((_ADDRESS, port))
    except (OSError, OverflowError) as error:
        raise SettingError(
            f"`--port`: nothing can listen at {_ADDRESS}:{port} ({getattr(error, 'strerror', None) or error}). Use another "
            f"port, or end the program that uses this one."
        ) from error


class _Page:
    """The page's requests, and the task that reads the study."""

    def __init__(self, watch: Watch, parent: int | None) -> None:
        self._watch, self._parent = watch, parent
        self.end: Callable[[], None] = lambda: None
        self._n_open = 0
        self._needed = time.monotonic()  # when a page was open, or the study ran, for the last time
        self._version = 0
        self._changed = asyncio.Condition()
        self._busy = asyncio.Lock()  # one thread at a time reads the study

    def app(self) -> Any:
        """Returns the ASGI application; its paths have no token."""
        from starlette.applications import Starlette
        from starlette.responses import HTMLResponse, JSONResponse, Response
        from starlette.routing import Route

        def route(name: str) -> Route:
            kind, (package, file) = _FILES[name]
            content = resources.files(package).joinpath(file).read_bytes()

            async def answer(_request: Any) -> Response:
                return Response(content, headers={"content-type": kind})

            return Route(f"/{name}", answer)

        async def stop(_request: Any) -> Response:
            try:
                async with self._busy:
                    said = await asyncio.to_thread(self._watch.stop)
            except RbtError as error:
                return JSONResponse({"text": str(error)}, status_code=409)
            await self._notify()
            return JSONResponse({"text": said})

        async def report(_request: Any) -> Response:
            try:
                async with self._busy:
                    text = await asyncio.to_thread(self._watch.report)
            except RbtError as error:
                return JSONResponse({"text": str(error)}, status_code=409)
            return HTMLResponse(text.encode("utf-8", "replace"), headers={"content-security-policy": _REPORT_POLICY})

        routes = [route(name) for name in _FILES]
        routes += [
            Route("/events", _Events(self._messages), methods=["GET"]),
            Route("/report", report),
            Route("/stop", stop, methods=["POST"]),
        ]
        return Starlette(routes=routes, lifespan=self._following)

    @asynccontextmanager
    async def _following(self, _app: Any) -> AsyncIterator[None]:
        task = asyncio.create_task(self._follow())
        yield
        task.cancel()

    async def _follow(self) -> None:
        while True:
            began = time.monotonic()
            async with self._busy:
                changed = await asyncio.to_thread(self._watch.refresh)
            if changed:
                await self._notify()
            now = time.monotonic()
            if self._watch.driver is not None or self._n_open:
                self._needed = now
            if now - self._needed > IDLE_S or self._is_orphan():
                self.end()
                return
            await asyncio.sleep(min(max(_LEAST_INTERVAL_S, (now - began) / _SHARE), _MOST_INTERVAL_S))

    def _is_orphan(self) -> bool:
        return self._parent is not None and not self._watch.has_begun and os.getppid() != self._parent

    async def _notify(self) -> None:
        async with self._changed:
            self._version += 1
            self._changed.notify_all()

    async def _messages(self) -> AsyncGenerator[str, None]:
        """Yields the study's state whenever it has changed, as server-sent events; a comment if it has not for some time."""
        seen = -1
        self._n_open += 1
        try:
            yield "retry: 1000\n\n"
            while True:
                if seen != self._version and self._watch.message:
                    seen = self._version
                    yield f"data: {self._watch.message}\n\n"
                    continue
                try:
                    async with asyncio.timeout(_HEARTBEAT_S), self._changed:
                        if seen == self._version:
                            await self._changed.wait()
                except TimeoutError:
                    yield ": \n\n"
        finally:
            self._n_open -= 1
            self._needed = time.monotonic()


class _Events:
    """An ASGI application that answers with server-sent events until the client disconnects.

    Args:
        messages: yields the events without end.
    """

    def __init__(self, messages: Callable[[], AsyncGenerator[str, None]]) -> None:
        self._messages = messages

    async def __call__(self, _scope: Message, receive: Receive, send: Send) -> None:
        """Answers a request."""
        sending = asyncio.create_task(self._send(send))
        try:
            while (await receive())["type"] != "http.disconnect":
                continue
        finally:
            sending.cancel()

    async def _send(self, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with aclosing(self._messages()) as messages:
            async for text in messages:
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
