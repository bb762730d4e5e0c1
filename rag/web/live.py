"""What tells a page in the browser to look again: one socket a page, on which hints go out and nothing comes in.

A socket rather than server-sent events: a browser opens six connections to a host for requests, and seven tabs that
each kept one for events would leave none to load a page. Whoever can use the app at all has sockets.

Hints are sent to who may look at what they are about; that, and the session, is looked up again every
:data:`CHECK_S`, and the same look is the heartbeat of who has a conversation open.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from rag.auth.identity import LOCAL_IDENTITY, Identity
from rag.auth.sessions import find_session
from rag.chat.feeds import Feed
from rag.chat.presence import end_presence, note_presence
from rag.chat.watching import Topic, may_watch, read_topics
from rag.errors import CorpuscopeError, DatabaseUnavailable, InvalidInput, NotAllowed
from rag.web.entrance import SESSION_HEADER, Entrance
from rag.web.origins import names_our_origin

PATH = "/api/live"
CHECK_S = 15.0
#: Least seconds between two hints about the documents of a collection, which while they are read change all the time:
#: with fifty who look on, more often would keep one core busy with drawing.
DOCUMENTS_S = 1.5
#: The same by the kind of topic; the slowest counts.
_PACE_S = {"documents": DOCUMENTS_S}
_PACE_ELSE_S = 0.1
#: Who looks on at a slow kind each has a moment of their own in the pace, as far from the others' as can be: if all
#: looked in one instant, or at random, they would queue for the app. The n-th is n times the golden ratio, less its
#: whole part, which splits the widest gaps (Knuth, The Art of Computer Programming, volume 3, section 6.4).
_GOLDEN = (5**0.5 - 1) / 2
_numbers = itertools.count()
#: Close codes of ours: not yours (any more), and come back later.
REFUSED, LATER = 4403, 4503

FindFeed = Callable[[], Feed | None]

_log = logging.getLogger(__name__)


def routes(entrance: Entrance, find_feed: FindFeed, *, check_s: float = CHECK_S) -> list[BaseRoute]:
    """The one address. Behind the gate a socket carries its session; without a gate there is one person."""

    async def answer(socket: WebSocket) -> None:
        await _answer(socket, entrance, find_feed, check_s)

    return [WebSocketRoute(PATH, answer)]


async def _answer(socket: WebSocket, entrance: Entrance, find_feed: FindFeed, check_s: float) -> None:
    if not names_our_origin(socket.scope["headers"], entrance.settings.public_url):
        await socket.close()
        return
    try:
        topics = read_topics(socket.query_params.get("topics", ""))
        listener = Listener(entrance, topics, _session_of(socket, entrance), check_s)
        feed = find_feed()
        if feed is None:
            raise DatabaseUnavailable
        allowed = await run_in_threadpool(listener.check)
    except InvalidInput:
        await socket.close()
        return
    except CorpuscopeError:
        await _close(socket, LATER)
        return
    if not allowed:
        await _close(socket, REFUSED)
        return
    await socket.accept()
    try:
        await _serve(socket, listener, feed)
    finally:
        # Also where this task is cancelled meanwhile.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, listener.leave))


async def _close(socket: WebSocket, code: int) -> None:
    """Accept first: of a refused socket a browser learns no code."""
    await socket.accept()
    await socket.close(code)


def _session_of(socket: WebSocket, entrance: Entrance) -> UUID | None:
    """The session that the gate let in; None where there is no gate."""
    if not entrance.is_guarded:
        return None
    named = entrance.signer("tab").unsign(socket.headers.get(SESSION_HEADER, ""))
    if named is None:
        raise InvalidInput("There is no session.")
    return UUID(named)


async def _serve(socket: WebSocket, listener: Listener, feed: Feed) -> None:
    """Until either side closes."""
    sending = asyncio.create_task(_send_hints(socket, listener, feed))
    receiving = asyncio.create_task(_wait_for_end(socket))
    _, unfinished = await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
    for task in unfinished:
        task.cancel()
    for task in (sending, receiving):
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await task


async def _wait_for_end(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _send_hints(socket: WebSocket, listener: Listener, feed: Feed) -> None:
    stirred, loop = asyncio.Event(), asyncio.get_running_loop()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the server has just ended
            loop.call_soon_threadsafe(stirred.set)

    keys = [str(topic) for topic in listener.topics]
    with feed.subscribed(keys, wake):
        if _missed(socket.query_params.get("after", ""), keys, feed):
            stirred.set()
        due = time.monotonic() + listener.check_s
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stirred.wait(), max(0.0, due - time.monotonic()))
            if stirred.is_set():
                await asyncio.sleep(listener.wait_s(time.monotonic()))
                stirred.clear()
                await socket.send_text("look")
                await asyncio.sleep(min(listener.pace_s, _PACE_ELSE_S))
            if time.monotonic() >= due:
                due = time.monotonic() + listener.check_s
                if not await run_in_threadpool(listener.still_may):
                    await socket.close(REFUSED)
                    return


def _missed(after: str, keys: list[str], feed: Feed) -> bool:
    """Whether something may have happened since the page looked: ``after`` is ``<feed's name>.<position>``."""
    name, _, position = after.partition(".")
    if name != feed.name or not position.isdecimal():
        return True
    return any(feed.heard_since(key, int(position)) for key in keys)


@dataclass
class Listener:
    """The person at the other end, and what they listen to."""

    entrance: Entrance
    topics: list[Topic]
    session_id: UUID | None
    #: Seconds between two looks at what they may.
    check_s: float = CHECK_S
    visit: UUID = field(default_factory=uuid4)
    #: Their moment in the pace, in [0, 1).
    phase: float = field(default_factory=lambda: next(_numbers) * _GOLDEN % 1)
    #: Who it was at the last look.
    identity: Identity | None = None

    @property
    def pace_s(self) -> float:
        """Seconds between two hints."""
        return max(_PACE_S.get(topic.kind, _PACE_ELSE_S) for topic in self.topics)

    def wait_s(self, now: float) -> float:
        """Seconds from ``now``, of any clock of the process, until their next moment; 0 for what is paced finely."""
        pace = self.pace_s
        return (self.phase * pace - now) % pace if pace > _PACE_ELSE_S else 0.0

    def check(self) -> bool:
        """Whether they may (still) listen; if so they are here. Raises where the database can't say."""
        self.identity = self._find_person()
        if self.identity is None:
            return False
        try:
            with self.entrance.database.as_user(self.identity.claims) as conn:
                if not may_watch(conn, self.topics):
                    return False
                for topic in self.topics:
                    if topic.kind == "presence":
                        note_presence(conn, topic.id, self.visit)
        except NotAllowed:
            return False
        return True

    def still_may(self) -> bool:
        """The same, but while the database can't say, what was found last holds."""
        try:
            return self.check()
        except CorpuscopeError as problem:
            _log.info("Who may listen could not be looked up, the next look is soon: %s", problem)
            return True

    def leave(self) -> None:
        """The page was closed."""
        if self.identity is None or all(topic.kind != "presence" for topic in self.topics):
            return
        try:
            with self.entrance.database.as_user(self.identity.claims) as conn:
                end_presence(conn, self.visit)
        except CorpuscopeError as problem:
            _log.info("A closed page counts as open for a while: %s", problem)

    def _find_person(self) -> Identity | None:
        if self.session_id is None:
            return LOCAL_IDENTITY
        with self.entrance.database.as_accounts() as conn:
            found = find_session(conn, self.session_id, idle=self.entrance.idle, touch=False)
        session = self.entrance.keep_fresh(found)
        return session.identity if session is not None else None
