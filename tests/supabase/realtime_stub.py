"""A stub of Supabase Realtime: it speaks Phoenix JSON, versions 1 and 2, and is nothing that Supabase wrote.

What is real: who may join, hear, send and appear is asked of the database's own policies, with the token's role and
claims, as the server asks (:mod:`tests.supabase.channel_probe`); what is broadcast are the rows that ``realtime.send``
left. What is not: it polls those rows instead of reading the log, has no Postgres Changes, no limits, and one node.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from psycopg import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from rag.store.database import connect
from tests.supabase.channel_probe import Rights, probe

_LOOK_S = 0.03
_START_S = 10


@dataclass
class Channel:
    """A channel as one client has joined it."""

    topic: str
    join_ref: str | None
    rights: Rights
    private: bool


@dataclass(eq=False)
class Client:
    """One socket. ``version`` 1 sends objects, 2 arrays."""

    socket: ServerConnection
    version: int
    key: str
    channels: dict[str, Channel] = field(default_factory=dict)

    async def push(self, topic: str, event: str, payload: Any, ref: str | None = None) -> None:
        """Send one message on a channel."""
        joined = self.channels.get(topic)
        if self.version == 2:
            message: Any = [joined.join_ref if joined else None, ref, topic, event, payload]
        else:
            message = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        with contextlib.suppress(ConnectionClosed):
            await self.socket.send(json.dumps(message))


class RealtimeStub:
    """The running stub. ``dsn`` leads the server's own role, a superuser here, to the project's database."""

    def __init__(self, dsn: str, jwt_secret: str) -> None:
        self._dsn = dsn
        self._secret = jwt_secret
        self._clients: set[Client] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._seen: set[Any] = set()
        #: How often somebody joined a channel, by topic.
        self.joins: dict[str, int] = {}
        #: What clients tried to broadcast and might not.
        self.swallowed: list[tuple[str, Any]] = []
        #: What was pushed to anybody: (topic, event, payload).
        self.pushed: list[tuple[str, str, Any]] = []
        #: Where nobody is let in: an outage.
        self.is_down = False
        self.address = ""

    # What tests do to it, from their own thread ---------------------------------------------------------------------

    def drop(self) -> int:
        """Cut every connection, without a word; how many there were."""
        return int(self._do(self._drop()))

    def expire(self) -> None:
        """End every channel as when its token has expired; the sockets stay."""
        self._do(self._expire())

    @property
    def connections(self) -> int:
        """Sockets now."""
        return len(self._clients)

    def listeners(self, topic: str) -> int:
        """Clients that have joined ``topic``."""
        return sum(f"realtime:{topic}" in client.channels for client in list(self._clients))

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _drop(self) -> int:
        clients = list(self._clients)
        for client in clients:
            client.socket.transport.abort()
        return len(clients)

    async def _expire(self) -> None:
        for client in list(self._clients):
            for topic in list(client.channels):
                await self._end(client, topic, "Token has expired")

    # Running ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self) -> Iterator[RealtimeStub]:
        """Serve on a free port for the length of the block."""
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        thread.start()
        if not self._ready.wait(_START_S):
            raise RuntimeError("The stub of Realtime did not start.")
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._over.set)
            thread.join(10)
            self._loop.close()

    async def _run(self) -> None:
        with connect(self._dsn, application_name="realtime stub") as conn:
            self._conn: Connection[Any] = conn
            self._lock = asyncio.Lock()
            self._seen = {row[0] for row in conn.execute("select id from realtime.messages")}
            async with serve(self._answer, "127.0.0.1", 0, process_request=self._admit) as server:
                self.address = f"http://127.0.0.1:{_port(server)}"
                tailing = asyncio.create_task(self._tail())
                self._ready.set()
                await self._over.wait()
                tailing.cancel()
                await self._drop()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refused already at the door: during an outage, and with a key that isn't the project's."""
        if self.is_down:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "down\n")
        key = parse_qs(urlsplit(request.path).query).get("apikey", [""])[0]
        return None if self._claims(key) is not None else connection.respond(HTTPStatus.FORBIDDEN, "no such key\n")

    async def _answer(self, socket: ServerConnection) -> None:
        query = parse_qs(urlsplit(socket.request.path if socket.request else "").query)
        client = Client(socket, 2 if query.get("vsn", [""])[0].startswith("2") else 1, query["apikey"][0])
        self._clients.add(client)
        try:
            async for text in socket:
                await self._handle(client, json.loads(text) if isinstance(text, str) else _read_binary(text))
        except ConnectionClosed:
            return
        finally:
            self._clients.discard(client)

    async def _handle(self, client: Client, message: Any) -> None:
        if isinstance(message, list):
            join_ref, ref, topic, event, payload = message
        else:
            topic, event, payload = message["topic"], message["event"], message["payload"]
            ref, join_ref = message.get("ref"), message.get("join_ref") or message.get("ref")
        match event:
            case "phx_join":
                await self._join(client, topic, payload, ref, join_ref)
            case "phx_leave":
                await client.push(topic, "phx_reply", {"status": "ok", "response": {}}, ref)
                client.channels.pop(topic, None)
            case "heartbeat":
                await client.push("phoenix", "phx_reply", {"status": "ok", "response": {}}, ref)
            case "access_token":
                await self._renew(client, topic, payload["access_token"])
            case "broadcast":
                await self._speak(client, topic, payload)
            case "presence":
                await self._appear(client, topic, payload, ref)

    # Joining ---------------------------------------------------------------------------------------------------------

    def _claims(self, token: str) -> Mapping[str, Any] | None:
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token, self._secret, ["HS256"], options={"verify_aud": False, "require": ["exp", "role"]}
            )
        except jwt.PyJWTError:
            return None
        return claims

    async def _rights(self, token: str, topic: str) -> Rights | None:
        """None without a good token."""
        claims = self._claims(token)
        if claims is None:
            return None
        async with self._lock:
            name = topic.removeprefix("realtime:")
            return await asyncio.to_thread(probe, self._conn, str(claims["role"]), claims, name)

    async def _join(
        self, client: Client, topic: str, payload: Mapping[str, Any], ref: str | None, join_ref: str | None
    ) -> None:
        private = bool(payload.get("config", {}).get("private"))
        rights = await self._rights(payload.get("access_token") or client.key, topic)
        if rights is None or (private and not rights.hear and not rights.see):
            reason = "InvalidJWTToken" if rights is None else "Unauthorized: You do not have permissions to read"
            await client.push(topic, "phx_reply", {"status": "error", "response": {"reason": reason}}, ref)
            return
        client.channels[topic] = Channel(topic, join_ref, rights, private)
        self.joins[topic] = self.joins.get(topic, 0) + 1
        await client.push(topic, "phx_reply", {"status": "ok", "response": {"postgres_changes": []}}, ref)
        if private and rights.see:
            await client.push(topic, "presence_state", {})

    async def _renew(self, client: Client, topic: str, token: str) -> None:
        """A new token: what it may is asked again."""
        joined = client.channels.get(topic)
        if joined is None:
            return
        rights = await self._rights(token, topic)
        if rights is None or (joined.private and not rights.hear and not rights.see):
            await self._end(client, topic, "Unauthorized")
        else:
            joined.rights = rights

    async def _end(self, client: Client, topic: str, why: str) -> None:
        said = {"channel": topic.removeprefix("realtime:"), "extension": "system", "message": why, "status": "error"}
        await client.push(topic, "system", said)
        await client.push(topic, "phx_close", {})
        client.channels.pop(topic, None)

    # Speaking --------------------------------------------------------------------------------------------------------

    async def _speak(self, client: Client, topic: str, payload: Any) -> None:
        joined = client.channels.get(topic)
        if joined is None or (joined.private and not joined.rights.send):
            self.swallowed.append((topic, payload))  # the server says nothing either
            return
        await self._spread(topic, joined.private, "broadcast", payload, but=client)

    async def _appear(self, client: Client, topic: str, payload: Any, ref: str | None) -> None:
        joined = client.channels.get(topic)
        allowed = joined is not None and joined.rights.appear
        await client.push(topic, "phx_reply", {"status": "ok" if allowed else "error", "response": {}}, ref)
        if joined is not None and allowed:
            meta = {"phx_ref": ref, **payload.get("payload", {})}
            joins = {str(id(client)): {"metas": [meta]}}
            await self._spread(topic, joined.private, "presence_diff", {"joins": joins, "leaves": {}})

    async def _spread(self, topic: str, private: bool, event: str, payload: Any, *, but: Client | None = None) -> None:
        for client in list(self._clients):
            joined = client.channels.get(topic)
            if joined is None or client is but or joined.private != private:
                continue
            if not private or (joined.rights.hear if event == "broadcast" else joined.rights.see):
                self.pushed.append((topic, event, payload))
                await client.push(topic, event, payload)

    async def _tail(self) -> None:
        """Hand on what the database broadcast, in order."""
        while True:
            async with self._lock:
                rows = self._conn.execute(
                    "select id, topic, event, payload, private from realtime.messages"
                    " where extension = 'broadcast' and not id = any (%s) order by inserted_at, ctid",
                    [list(self._seen)],
                ).fetchall()
            for made, topic, event, payload, private in rows:
                self._seen.add(made)
                message = {"type": "broadcast", "event": event, "payload": payload, "meta": {"id": str(made)}}
                await self._spread(f"realtime:{topic}", private, "broadcast", message)
            await asyncio.sleep(_LOOK_S)


def _read_binary(frame: bytes) -> list[Any]:
    """A broadcast as clients of version 2 send it: lengths, texts, payload."""
    lengths, at, texts = frame[1:6], 7, []
    for length in lengths:
        texts.append(frame[at : at + length].decode())
        at += length
    join_ref, ref, topic, event, _meta = texts
    body = frame[at:]
    payload = json.loads(body) if frame[6] == 1 else body.hex()
    return [join_ref, ref, topic, "broadcast", {"type": "broadcast", "event": event, "payload": payload}]


def _port(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])


def wait_until(condition: Any, limit_s: float = 15.0) -> None:
    """Look until ``condition()`` is true."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.02)
