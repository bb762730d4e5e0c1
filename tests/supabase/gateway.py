"""One address for the servers of a Supabase project, as the hosted gateway gives them: told apart by prefix and key.

A stand-in, and much less than the real one: it limits nothing and verifies no token; the servers behind it do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_OWN = {"host", "connection", "transfer-encoding"}
_START_S = 20


class Gateway:
    """A running gateway; ``routes`` maps prefixes to the addresses that stand for them."""

    def __init__(self) -> None:
        self.routes: dict[str, str] = {}
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(60, connect=5), trust_env=False)
        self.app = Starlette(
            lifespan=self._running,
            routes=[
                Route("/{path:path}", self._pass_on, methods=METHODS),
                WebSocketRoute("/{path:path}", self._connect),
            ],
            middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])],
        )

    @contextlib.asynccontextmanager
    async def _running(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        await self._client.aclose()

    def _upstream(self, path: str) -> str | None:
        prefixes = [prefix for prefix in self.routes if path == prefix or path.startswith(prefix + "/")]
        if not prefixes:
            return None
        prefix = max(prefixes, key=len)
        return self.routes[prefix] + path[len(prefix) :]

    async def _pass_on(self, request: Request) -> Response:
        target = self._upstream(request.url.path)
        if target is None:
            return JSONResponse({"message": "no Route matched with those values"}, 404)
        headers = {name: value for name, value in request.headers.items() if name not in _OWN}
        key = headers.get("apikey") or request.query_params.get("apikey", "")
        if key and "authorization" not in headers:
            headers["authorization"] = f"Bearer {key}"
        if not key and request.url.path.startswith("/rest/"):
            return JSONResponse({"message": "No API key found in request"}, 401)
        query = f"?{request.url.query}" if request.url.query else ""
        outgoing = self._client.build_request(
            request.method, target + query, headers=headers, content=request.stream() if _has_body(request) else None
        )
        try:
            answer = await self._client.send(outgoing, stream=True)
        except httpx.HTTPError as error:
            return JSONResponse({"message": f"The server behind is not there: {error!r}"}, 502)
        kept = {
            name: value
            for name, value in answer.headers.items()
            if name not in _OWN and not name.startswith("access-control-")  # the gateway says that
        }
        return StreamingResponse(
            _body(answer), answer.status_code, headers=kept, background=BackgroundTask(answer.aclose)
        )

    async def _connect(self, near: WebSocket) -> None:
        target = self._upstream(near.url.path)
        if target is None:
            await near.close(1008)
            return
        address = target.replace("http", "ws", 1) + f"?{near.url.query}"
        async with websockets.connect(address, proxy=None) as far:
            await near.accept()
            both = [asyncio.ensure_future(_upward(near, far)), asyncio.ensure_future(_downward(near, far))]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # closed from the other side
            await near.close()


def _has_body(request: Request) -> bool:
    return "content-length" in request.headers or "transfer-encoding" in request.headers


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    async for piece in answer.aiter_raw():
        yield piece


async def _upward(near: WebSocket, far: websockets.ClientConnection) -> None:
    with contextlib.suppress(RuntimeError, websockets.ConnectionClosed):
        while (message := await near.receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            await far.send(message["bytes"] if text is None else text)


async def _downward(near: WebSocket, far: websockets.ClientConnection) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        async for message in far:
            await near.send_text(message if isinstance(message, str) else message.decode())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(gateway: Gateway) -> Iterator[str]:
    """Serve on a free port of this machine for the length of the block; the address."""
    settings = uvicorn.Config(
        gateway.app,
        host="127.0.0.1",
        port=free_port(),
        log_level="error",
        ws="websockets-sansio",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, name="gateway", daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_S
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise RuntimeError("The gateway of the tests did not start.")
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{settings.port}"
    finally:
        server.should_exit = True
        thread.join(10)
