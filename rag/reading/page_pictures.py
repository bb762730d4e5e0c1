"""A page of a PDF as a picture with quoted words highlighted, drawn in a child process that a hostile file may break.

The file goes to the child through a pipe, a piece at a time: neither the disk nor this process holds it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag.errors import ParseError, ParseLimit, PasswordNeeded

#: Larger files take too long to hand over for each page.
MAX_FILE_BYTES = 64 * 2**20
#: Pages that are drawn at the same time in one process of the app; others wait.
_AT_ONCE = 2
_MAX_PATIENCE_S = 15.0
_MAX_HEAD = 10_000
_MAX_PICTURE = 16 * 2**20
_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])

_places = threading.BoundedSemaphore(_AT_ONCE)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PageWanted:
    """Page ``page`` (from 1), ``width`` pixels wide, with the words ``quote`` on it, which begin about at ``at`` of its
    text (0 to 1)."""

    page: int
    quote: str = ""
    at: float = 0.0
    width: int = 1100


@dataclass(frozen=True, slots=True)
class PagePicture:
    """``image`` is WebP. ``found``: the words are highlighted on it, the first at ``top`` of its height (0 to 1)."""

    image: bytes
    width: int
    height: int
    pages: int
    found: bool
    top: float = 0.0


@dataclass(frozen=True, slots=True)
class DrawLimits:
    """Most that one page may cost: seconds of a core, and address space of the child."""

    seconds: int = 8
    memory_bytes: int = 1024 * 2**20

    @property
    def patience_s(self) -> float:
        """Until when it has to be there on the clock: a busy machine gives a child half a core and a slow start."""
        return 2.0 * self.seconds + 4


def draw_page(pieces: Iterable[bytes], wanted: PageWanted, limits: DrawLimits | None = None) -> PagePicture:
    """Draw a page of the PDF that ``pieces`` make together; these are asked for once the child is there.

    Raises :class:`PasswordNeeded`, :class:`ParseLimit` where it takes too long, too much memory or has to wait for too
    many others, or :class:`ParseError`, in words for whoever looks at the page.
    """
    if not _places.acquire(timeout=_MAX_PATIENCE_S):
        raise ParseLimit("Other pages are being drawn just now.", hint="Try again in a moment.")
    try:
        return _draw(pieces, wanted, limits or DrawLimits())
    finally:
        _places.release()


def words_on_page(
    text: str, page_starts: Sequence[int], page: int, span: tuple[int, int] | None, width: int = 1100
) -> PageWanted:
    """What to draw of page ``page`` of a document's text, with the part of ``span`` that is on it."""
    start = page_starts[page - 1]
    end = page_starts[page] if page < len(page_starts) else len(text)
    if span is None or span[1] <= start or end <= span[0]:
        return PageWanted(page, width=width)
    first, last = max(span[0], start), min(span[1], end)
    return PageWanted(page, text[first:last], (first - start) / max(end - start, 1), width)


def page_at(page_starts: Sequence[int], offset: int) -> int:
    """The page, from 1, that holds ``offset`` of the text."""
    return max(1, bisect_right(page_starts, offset))


def _draw(pieces: Iterable[bytes], wanted: PageWanted, limits: DrawLimits) -> PagePicture:
    child = _start()
    alarm = threading.Timer(limits.patience_s, child.kill)
    alarm.daemon = True
    alarm.start()
    try:
        with contextlib.closing(_counted(pieces)) as file:
            _send(child, wanted, limits, file)
        head, image = _receive(child)
    finally:
        late = not alarm.is_alive()
        alarm.cancel()
        _end(child)
    if head is None:
        raise _broken(child, limits, late=late)
    if "error" in head:
        raise _refused(head, wanted)
    return PagePicture(image, **head)


def _start() -> subprocess.Popen[bytes]:
    # An environment of its own: no keys, no proxies.
    environment = {
        "PYTHONPATH": _PACKAGE_ROOT,
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "MALLOC_ARENA_MAX": "2",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "rag.reading.page_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/" if os.name == "posix" else None,
        env=environment,
        start_new_session=True,
    )


def _counted(pieces: Iterable[bytes]) -> Generator[bytes, None, None]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_FILE_BYTES:
            raise ParseLimit(
                f"Pages of files over {MAX_FILE_BYTES // 2**20} MB aren't drawn here.",
                hint="Open the original instead.",
            )
        yield piece


def _send(child: subprocess.Popen[bytes], wanted: PageWanted, limits: DrawLimits, file: Iterator[bytes]) -> None:
    assert child.stdin is not None
    request = asdict(wanted) | {"memory_bytes": limits.memory_bytes, "seconds": limits.seconds}
    try:
        child.stdin.write(json.dumps(request | {"quote": wanted.quote[:10_000]}).encode() + b"\n")
        for piece in file:
            child.stdin.write(piece)
        child.stdin.close()
    except BrokenPipeError:
        _log.info("The child that draws pages ended before it had read the file.")


def _receive(child: subprocess.Popen[bytes]) -> tuple[dict[str, Any] | None, bytes]:
    """The answer; None when there is none."""
    assert child.stdout is not None
    line = child.stdout.readline(_MAX_HEAD)
    image = child.stdout.read(_MAX_PICTURE + 1)
    if not line.endswith(b"\n") or len(image) > _MAX_PICTURE:
        return None, b""
    head = json.loads(line)
    return (head, image) if isinstance(head, dict) and ("error" in head or image) else (None, b"")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child if it goes on, wait for it and close its pipes."""
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _refused(head: dict[str, Any], wanted: PageWanted) -> ParseError:
    if head["error"] == "password":
        return PasswordNeeded("This PDF is protected by a password.")
    if head["error"] == "memory":
        return ParseLimit("Drawing this page takes more memory than it may.", hint="Open the original instead.")
    if head["error"] == "no page":
        return ParseError(f"The file has no page {wanted.page}.", hint="Open the original instead.")
    _log.info("A page of a PDF can't be drawn: %s", head.get("detail", "damaged"))
    return ParseError("This page is damaged and can't be drawn.", hint="Read its text beside, or open the original.")


def _broken(child: subprocess.Popen[bytes], limits: DrawLimits, *, late: bool) -> ParseError:
    _log.warning("The child that draws pages ended with code %s.", child.returncode)
    if late or child.returncode in (-signal.SIGALRM, -signal.SIGXCPU):
        return ParseLimit(
            f"Drawing this page took more than {limits.seconds} seconds, which is the limit.",
            hint="Read its text beside, or open the original.",
        )
    return ParseError("This page can't be drawn here.", hint="Read its text beside, or open the original.")
