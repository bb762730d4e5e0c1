"""Locks between processes, held by open files: the kernel lets go of them when a process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.02

_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """A ``flock`` on ``path``: shared by many holders or exclusive to one.

    Two objects on one path are two holders, also within one process. A forked child is no holder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        return self._handle is not None

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Take the lock if that is possible at once."""
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        _held.add(self)
        return True

    def acquire(self, *, timeout_s: float | None = None, on_wait: Callable[[float], None] | None = None) -> bool:
        """Wait for the exclusive lock; False after ``timeout_s``. ``on_wait`` hears of every further 5 s waited."""
        started, told = time.monotonic(), 0.0
        while not self.try_acquire():
            waited = time.monotonic() - started
            if timeout_s is not None and waited >= timeout_s:
                return False
            if on_wait is not None and waited >= told + 5:
                told = waited
                on_wait(waited)
            time.sleep(_POLL_S)
        return True

    def release(self) -> None:
        """Let go, also of copies that a forked child may not have closed yet."""
        if self._handle is not None:
            fcntl.flock(self._handle, fcntl.LOCK_UN)
            self._forget()

    def _forget(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            _held.discard(self)


@contextmanager
def exclusive(path: Path, *, on_wait: Callable[[float], None] | None = None) -> Iterator[None]:
    """Hold ``path`` exclusively for the block."""
    lock = FileLock(path)
    lock.acquire(on_wait=on_wait)
    try:
        yield
    finally:
        lock.release()


def _forget_in_child() -> None:
    # The child shares the parent's open file: without this, the lock would outlive the parent.
    for lock in list(_held):
        lock._forget()


os.register_at_fork(after_in_child=_forget_in_child)
