"""Folders that tests make and leave nothing of, in memory where there is plenty of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

#: Bytes that have to be free: two servers with their logs, and the products of the browser tests, need a fifth of it.
_PLENTY = 8 * 1024**3


@contextmanager
def temporary_folder(name: str = "corpuscope") -> Iterator[Path]:
    """A short path, unlike `tmp_path`: that one's parents are closed to the server's account by every pytest run."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=_in_memory(), ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _in_memory() -> Path | None:
    """On some disks a copy of a database takes ten times as long as in memory."""
    folder = Path("/dev/shm")
    if not os.access(folder, os.W_OK) or psutil.virtual_memory().available < _PLENTY:
        return None
    return folder if psutil.disk_usage(str(folder)).free > _PLENTY else None
