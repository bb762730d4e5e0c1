"""Work of the Evaluate page that goes on in a worker, live: how far, how fast, how long still, a button to stop it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import psycopg
import streamlit as st

from pages.parts.session import connect
from pages.parts.words import count, duration, plain, show_error
from rag.corpus.progress import RateMeter, read_worker_status
from rag.errors import CorpuscopeError
from rag.evaluation.runs import UNFINISHED


class Task(Protocol):
    """A run, or a search for better settings."""

    @property
    def id(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def asked(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def at(self) -> datetime: ...


AnyTask = TypeVar("AnyTask", bound=Task)


@dataclass(frozen=True)
class Work(Generic[AnyTask]):
    """One kind of work. ``read`` gives all of a set, the newest first; ``name`` is Markdown for one of them.

    ``asking`` and ``ending`` are what it does with questions, and once it has asked them all.
    """

    key: str
    read: Callable[[psycopg.Connection[Any], int], Sequence[AnyTask]]
    cancel: Callable[[psycopg.Connection[Any], int], object]
    name: Callable[[AnyTask], str]
    asking: str
    ending: str


def watch(work: Work[AnyTask], set_id: int, tasks: Sequence[AnyTask], *, may_edit: bool) -> None:
    """A bar for each of ``tasks`` that waits or runs; the page is drawn again once one ends."""
    if waiting := frozenset(task.id for task in tasks if task.state in UNFINISHED):
        st.fragment(_look, run_every=1.0, key=f"{work.key}-live")(work, set_id, waiting, may_edit)


def _look(work: Work[Any], set_id: int, waiting: frozenset[int], may_edit: bool) -> None:
    with connect() as conn:
        tasks = [task for task in work.read(conn, set_id) if task.state in UNFINISHED]
        alive = read_worker_status(conn).alive
    if {task.id for task in tasks} != waiting:
        st.rerun()
    if not alive:
        st.warning(
            "**No worker is running.** Start one with `corpuscope worker`; everything waits where it is.",
            icon=":material/pause_circle:",
        )
    for task in reversed(tasks):
        with st.container(horizontal=True, vertical_alignment="center", key=f"{work.key}-live-{task.id}"):
            st.progress(min(1.0, task.asked / max(1, task.total)), text=describe(work, task, _meter(work, task)))
            if may_edit and st.button(
                "Cancel", icon=":material/close:", type="tertiary", key=f"{work.key}_cancel_{task.id}"
            ):
                _cancel(work, task.id)


def _meter(work: Work[Any], task: Task) -> RateMeter:
    meters: dict[int, RateMeter] = st.session_state.setdefault(f"{work.key}_meters", {})
    meter = meters.setdefault(task.id, RateMeter())
    meter.feed(task.at.timestamp(), task.asked)
    return meter


def describe(work: Work[AnyTask], task: AnyTask, meter: RateMeter) -> str:
    """``#3 Careful v2 · index 4 · asked 40 of 225 questions · 55 a second · about 4 s left``."""
    parts = [work.name(task)]
    if task.state == "queued":
        return " · ".join([*parts, "waits for its turn"])
    parts.append(f"{work.asking} {task.asked:,} of {count(task.total, 'question')}")
    if task.asked >= task.total:
        parts.append(work.ending)
    elif meter.rate:
        parts.append(f"{meter.rate:,.0f} a second" if meter.rate >= 10 else f"{meter.rate:.1f} a second")
        if (left := meter.eta(task.total - task.asked)) is not None:
            parts.append(f"about {duration(max(1, left))} left")
    if task.reason:
        parts.append(plain(task.reason))
    return " · ".join(parts)


def _cancel(work: Work[Any], task_id: int) -> None:
    try:
        with connect() as conn:
            work.cancel(conn, task_id)
    except CorpuscopeError as error:
        show_error(error)
        return
    st.rerun()
