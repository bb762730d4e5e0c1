"""Hints over Supabase Realtime, for where the database can't be listened to: one socket and one channel a process.

The channel is the server's own: no person may join it, since it names what changes for everybody. Only the project's
secret key opens it. See migrations/20261123000965_broadcasts.sql for who speaks there, and how often.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from realtime import AsyncRealtimeClient, RealtimeSubscribeStates
from websockets.exceptions import InvalidStatus, WebSocketException

from rag.chat.hints import EVERYTHING, LOOK_S

CHANNEL = "corpuscope:hints"
EVENT = "changed"

#: Seconds until the next try to connect, doubled after each that failed, up to the longest.
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
#: Seconds for a connection to be made and for the channel to open.
_OPEN_S = 10
#: A connection that lasted longer was a good one; until this many in a row were not, nobody is troubled with it.
_STEADY_S = 10.0
_WARN_AFTER = 2

_log = logging.getLogger(__name__)

Note = Callable[[str], object]


class BroadcastHints:
    """What the database broadcasts. ``url`` is the project's, ``key`` its secret (or service_role) key.

    After each failure it connects anew, with the key again, rather than have the client mend its connection: so there
    is one way back, whether the socket, the channel or the token ended. Meanwhile everybody who waits polls.
    """

    def __init__(self, url: str, key: str, *, first_pause_s: float = _FIRST_PAUSE_S) -> None:
        self._url = f"{url}/realtime/v1"
        self._key = key
        self._first_pause_s = first_pause_s
        #: Whether the channel is open now.
        self.is_connected = False

    def follow(self, note: Note, closed: threading.Event) -> None:
        """See :class:`~rag.chat.hints.HintSource`."""
        # The client logs each failure as an error, its own words for each of the many that an outage brings.
        logging.getLogger("realtime").setLevel(logging.CRITICAL)
        asyncio.run(self._follow(note, closed))

    async def _follow(self, note: Note, closed: threading.Event) -> None:
        failures = 0
        while not closed.is_set():
            began = time.monotonic()
            problem = await self._listen(note, closed, warned=failures >= _WARN_AFTER)
            if time.monotonic() - began > _STEADY_S:
                failures = 0
            failures += 1
            if closed.is_set():
                return
            if failures == _WARN_AFTER:
                _log.warning("Supabase Realtime can't be heard (%s). Pages look by themselves until it can.", problem)
            await _pause(min(self._first_pause_s * 2 ** (failures - 1), _LONGEST_PAUSE_S), closed)

    async def _listen(self, note: Note, closed: threading.Event, *, warned: bool) -> str:
        """One connection until it fails, in which words is returned, or until soon after ``closed`` was set."""
        line = _Line(self._url, self._key)
        try:
            await line.open(note)
            self.is_connected = True
            if warned:
                _log.info("Supabase Realtime is back; pages hear of changes at once again.")
            await line.over(closed)
        except (OSError, WebSocketException, _Refused) as error:
            return _words(error)
        finally:
            self.is_connected = False
            await line.close()
        return line.problem


class _Refused(Exception):
    """The channel was not opened."""


class _Line:
    """One connection with the channel on it, from its opening to its first failure."""

    def __init__(self, url: str, key: str) -> None:
        self._client = AsyncRealtimeClient(url, token=key, auto_reconnect=False, max_retries=1, timeout=_OPEN_S)
        self._ended = asyncio.Event()
        self._is_open = False
        self.problem = "the connection ended"

    async def open(self, note: Note) -> None:
        """Connect and join. Raises what the network raises, and :class:`_Refused`."""
        channel = self._client.channel(
            CHANNEL,
            {
                "config": {
                    "private": True,
                    "broadcast": {"ack": False, "self": False},
                    "presence": {"key": "", "enabled": False},
                }
            },
        )
        channel.on_broadcast(EVENT, lambda message: _hand_on(message, note))
        await channel.subscribe(self._told)
        if not self._is_open:
            raise _Refused(self.problem)
        # What was broadcast before is lost.
        note(EVERYTHING)

    async def over(self, closed: threading.Event) -> None:
        """Return once the connection or the channel has ended, or soon after ``closed`` was set."""
        while not closed.is_set() and not self._ended.is_set() and self._is_reading():
            await _wait(self._ended, LOOK_S)

    def _is_reading(self) -> bool:
        """Whether the client still reads: it tells nobody when a mistake of its own ends its task for that."""
        reading = self._client._listen_task
        if reading is None or not reading.done():
            return reading is not None
        if not reading.cancelled() and (error := reading.exception()):
            self.problem = f"the client stopped: {type(error).__name__}"
        return False

    async def close(self) -> None:
        """Hang up."""
        for channel in self._client.get_channels():
            channel.rejoin_timer.reset()
        await self._client.close()

    def _told(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        """How the channel is now."""
        self._is_open = state is RealtimeSubscribeStates.SUBSCRIBED
        if not self._is_open:
            self.problem = f"the channel is {state.value.lower().replace('_', ' ')}{f': {error}' if error else ''}"
            self._ended.set()


def _hand_on(message: Mapping[str, Any], note: Note) -> None:
    keys = message.get("payload", {}).get("keys")
    for key in keys if isinstance(keys, list) else ():
        if isinstance(key, str) and key:
            note(key)


def _words(error: Exception) -> str:
    """Without the address, which carries the key."""
    if isinstance(error, InvalidStatus):
        return f"the server answered with status {error.response.status_code}"
    return str(error) if isinstance(error, _Refused) else type(error).__name__


async def _pause(seconds: float, closed: threading.Event) -> None:
    """About that long, since all processes have lost the same server; less once ``closed`` was set."""
    due = time.monotonic() + seconds * random.uniform(0.5, 1.0)
    while not closed.is_set() and (left := due - time.monotonic()) > 0:
        await asyncio.sleep(min(left, LOOK_S))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
