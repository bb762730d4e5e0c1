"""What the app's process sets for itself once, so that fifty live pages are served without pauses."""

from __future__ import annotations

import functools
import gc
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from weakref import WeakKeyDictionary

import psutil
from streamlit.runtime.media_file_manager import MediaFileMetadata

#: New objects between two looks at the young ones, and looks at a generation between two at the next. A look stops all
#: sessions, for about 10 ms at this size and 80 ms at five times as much.
_GC_THRESHOLDS = (2_000, 10, 50)
_DOWNLOAD_LASTS_S = 60.0
#: Streamlit's own way, before :func:`keep_downloads`.
MARK_AT_ONCE = MediaFileMetadata.mark_for_delete


@functools.cache
def settle() -> None:
    """Once a process, when a page has been drawn and its modules are there; later calls do nothing."""
    spare_what_stays()
    send_at_once()
    keep_downloads()


def spare_what_stays() -> None:
    """Let the garbage collection pass over what is there by now: modules, which stay.

    A full collection over them stops every session for 150 to 300 ms, each few seconds while fifty are live.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def send_at_once() -> int:
    """Let the web server's connections send small messages without waiting for the last one's receipt; how many.

    Streamlit makes its socket without naming TCP as the protocol, so asyncio doesn't set TCP_NODELAY as it does
    elsewhere, and whoever gets two small messages waits 40 ms for the second. Later connections inherit the option
    from the listening socket.
    """
    return sum(_set_no_delay(fd) for fd in _server_sockets())


def keep_downloads(lasts_s: float = _DOWNLOAD_LASTS_S, clock: Callable[[], float] = time.monotonic) -> None:
    """Let a file that was made at a click stay until the browser has fetched it.

    Streamlit drops it when two runs of anybody have ended: with a few live pages that is at once, and whoever clicked
    gets "not found". It asks a file to be marked at each of these; here that counts once some time has passed.
    """
    orphaned: WeakKeyDictionary[MediaFileMetadata, float] = WeakKeyDictionary()

    def mark_for_delete(metadata: MediaFileMetadata) -> None:
        now = clock()
        if now - orphaned.setdefault(metadata, now) >= lasts_s:
            metadata._is_marked_for_delete = True

    MediaFileMetadata.mark_for_delete = mark_for_delete  # type: ignore[assignment, method-assign]


def _server_sockets() -> Iterator[int]:
    connections = []
    with suppress(psutil.Error):
        connections = psutil.Process().net_connections("tcp")
    ports = {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}
    for connection in connections:
        if connection.laddr and connection.laddr.port in ports and connection.fd >= 0:
            yield connection.fd


def _set_no_delay(fd: int) -> bool:
    """A connection may be closed by its own thread meanwhile: then there is nothing to set."""
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True
    return False
