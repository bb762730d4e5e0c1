"""A connection to a chat model's server for one request, which another thread can cut at any moment."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from functools import lru_cache
from typing import Any

import httpx2
import openai


class Line:
    """Used by the thread that reads; :meth:`cut` is for everybody else.

    Closing a connection does not wake a thread that waits for its next byte, and before the first byte there is no
    response to close. So the socket is noted as soon as there is one, and cutting shuts it down in both directions:
    the server sees the end at once, and the waiting thread an end of the stream. Redirects are not followed: neither
    the key nor people's passages go where the settings don't send them.
    """

    def __init__(self, *, api_key: str, base_url: str, timeout: openai.Timeout) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._cut = False
        self.client = openai.OpenAI(
            api_key=api_key or "none",
            base_url=base_url or None,
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultHttpxClient(
                event_hooks={"request": [self._watch]}, follow_redirects=False, verify=_trust()
            ),
        )

    def _watch(self, request: Any) -> None:
        request.extensions["trace"] = self._note

    def _note(self, event: str, info: dict[str, Any]) -> None:
        stream = info.get("return_value")
        if not event.endswith((".connect_tcp.complete", ".start_tls.complete")) or stream is None:
            return
        with self._lock:
            self._socket = stream.get_extra_info("socket")
            if self._cut:
                self._shut()

    def cut(self) -> None:
        """Hang up, also while the line is still being connected or silent."""
        with self._lock:
            self._cut = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it was closed by the other side, or by the reader
                # Of an encrypted line too the socket beneath: a polite goodbye would have to wait for the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give everything back; for the thread that reads."""
        self.client.close()


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Read once: it takes longer than everything else that an answer's line needs."""
    return httpx2.create_ssl_context()
