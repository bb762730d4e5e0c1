"""An address on 127.0.0.1 for the embedded Postgres and its private socket: some clients know nothing else."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit


@contextlib.contextmanager
def over_tcp(dsn: str) -> Iterator[str]:
    """``dsn`` as a URL with a host and a port, good for the length of the block. Whoever reaches the port gets in."""
    parts = urlsplit(dsn)
    path = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.callback(_shut, door)
        threading.Thread(target=_admit, args=(door, path), name="relay", daemon=True).start()
        yield f"postgresql://{parts.username}:none@127.0.0.1:{door.getsockname()[1]}{parts.path}?sslmode=disable"


def _shut(door: socket.socket) -> None:
    with contextlib.suppress(OSError):
        door.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in accept


def _admit(door: socket.socket, path: str) -> None:
    while True:
        try:
            near, _address = door.accept()
        except OSError:
            return
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(path)
        except OSError:
            near.close()
            far.close()
            continue
        both = [threading.Thread(target=_copy, args=ends, daemon=True) for ends in ((near, far), (far, near))]
        for one in both:
            one.start()
        threading.Thread(target=_close_after, args=(both, near, far), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _close_after(both: list[threading.Thread], near: socket.socket, far: socket.socket) -> None:
    for one in both:
        one.join()
    near.close()
    far.close()
