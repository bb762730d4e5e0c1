"""Locks between processes: shared or exclusive, freed by death."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rag.locks import FileLock, exclusive

HOLD = """
import sys
from pathlib import Path
from rag.locks import FileLock
assert FileLock(Path(sys.argv[1])).try_acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_many_share_or_one_excludes(path: Path) -> None:
    first, second, third = FileLock(path), FileLock(path), FileLock(path)
    assert first.try_acquire(shared=True)
    assert second.try_acquire(shared=True)
    assert not third.try_acquire()
    first.release()
    second.release()
    second.release()
    assert third.try_acquire()
    assert not first.try_acquire(shared=True)
    third.release()
    assert not third.held


def test_waiting_ends(path: Path) -> None:
    waited: list[float] = []
    with exclusive(path):
        assert not FileLock(path).acquire(timeout_s=0.05, on_wait=waited.append)
    assert waited == []
    last = FileLock(path)
    assert last.acquire(timeout_s=0.05)
    last.release()


def test_an_error_inside_frees_it(path: Path) -> None:
    with pytest.raises(KeyError), exclusive(path):
        raise KeyError
    with exclusive(path):
        pass


def test_a_killed_holder_holds_no_longer(path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert not FileLock(path).try_acquire()
        process.kill()
    lock = FileLock(path)
    assert lock.acquire(timeout_s=5)
    lock.release()


def test_a_forked_child_holds_nothing(path: Path) -> None:
    lock = FileLock(path)
    assert lock.try_acquire()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # ends when the parent closes its end, or dies
        os._exit(0)
    try:
        lock.release()
        other = FileLock(path)
        assert other.try_acquire()
        other.release()
    finally:
        os.close(writer)
        os.waitpid(child, 0)
        os.close(reader)


def test_nobody_else_reads_the_file(path: Path) -> None:
    with exclusive(path):
        assert not path.stat().st_mode & 0o077
