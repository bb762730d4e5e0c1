"""Numbers, times and errors in words; and text from elsewhere made harmless for Markdown."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import ParamSpec
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from rag.chat.markup import escape
from rag.errors import CorpuscopeError


def plain(text: str) -> str:
    """Markdown that shows ``text`` as it stands. For names and messages that hold text from elsewhere."""
    return escape(text)


def show_error(error: CorpuscopeError) -> None:
    """The error's sentence and, under it, what to do next."""
    st.error(
        f"{plain(str(error))}  \n{plain(error.hint)}" if error.hint else plain(str(error)), icon=":material/error:"
    )


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 document``, ``1,204 documents``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def size(number: int) -> str:
    """Bytes as people say them: ``820 bytes``, ``14 KB``, ``3.2 MB``."""
    if number < 1000:
        return f"{number} bytes"
    for unit, scale in (("KB", 1e3), ("MB", 1e6)):
        if number < 999.5 * scale:
            shown = number / scale
            return f"{shown:.1f} {unit}" if shown < 10 else f"{shown:.0f} {unit}"
    return f"{number / 1e9:.1f} GB"


def duration(seconds: float) -> str:
    """``under a second``, ``42 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 days``."""
    if seconds < 1:
        return "under a second"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    if whole < 3600:
        return f"{round(whole / 60)} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min" if whole % 3600 >= 60 else f"{whole // 3600} h"
    return count(whole // 86_400, "day")


def ago(moment: datetime) -> str:
    """How long since, roughly: ``just now``, ``4 min ago``, ``12 Nov``."""
    passed = datetime.now(UTC) - moment
    if passed < timedelta(seconds=10):
        return "just now"
    if passed < timedelta(minutes=1):
        return f"{round(passed.total_seconds())} s ago"
    if passed < timedelta(hours=1):
        return f"{passed.seconds // 60} min ago"
    if passed < timedelta(days=1):
        return f"{passed.seconds // 3600} h ago"
    if passed < timedelta(days=7):
        return f"{count(passed.days, 'day')} ago"
    local = to_local(moment)
    return f"{local.day} {local:%b}" if local.year == datetime.now(UTC).year else f"{local.day} {local:%b %Y}"


def clock(moment: datetime) -> str:
    """The reader's own time of day: ``14:32``, with the day when it isn't today."""
    local = to_local(moment)
    if local.date() == to_local(datetime.now(UTC)).date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b, %H:%M}"


def to_local(moment: datetime) -> datetime:
    """``moment`` in the browser's time zone."""
    return moment.astimezone(browser_zone())


def browser_zone() -> tzinfo | None:
    """The browser's time zone; None, which stands for this machine's, where that isn't known."""
    name = st.context.timezone
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


P = ParamSpec("P")


def guarded(show: Callable[P, None]) -> Callable[P, None]:
    """For fragments and dialogs, which rerun without app.py around them: shows a known error as its sentence."""

    @functools.wraps(show)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            show(*args, **kwargs)
        except CorpuscopeError as error:
            show_error(error)

    return run
