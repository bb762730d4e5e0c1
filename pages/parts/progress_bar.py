"""How far a collection has come: one bar, the rate, what is left, and what it waits for, in words."""

from __future__ import annotations

import streamlit as st

from pages.parts.words import clock, count, duration, plain
from rag.corpus.progress import Progress, RateMeter
from rag.records import Collection


def rate_of(collection: Collection, progress: Progress) -> RateMeter:
    """This session's meter for the collection, fed with the newest look."""
    meters: dict[str, RateMeter] = st.session_state.setdefault("rate_meters", {})
    meter = meters.setdefault(str(collection.id), RateMeter())
    meter.feed(progress.at.timestamp(), progress.embedded_total)
    return meter


def progress_bar(progress: Progress, meter: RateMeter, *, hint: str = "") -> None:
    """How many documents are where; and a bar with what goes on while some are not finished, else ``hint``."""
    if not progress.unfinished:
        st.caption(describe_stages(progress) + hint)
        return
    if hindrance := describe_hindrance(progress):
        st.warning(hindrance, icon=":material/pause_circle:")
    share = progress.embedded / progress.chunks if progress.chunks else 0.0
    st.progress(min(1.0, share), text=f"{describe_work(progress, meter)}  \n{describe_stages(progress)}")


def describe_stages(progress: Progress) -> str:
    """``19 documents · 12 ready · 5 in work · 1 paused · 1 failed``."""
    parts = [count(sum(progress.stages.values()), "document")]
    for number, words in (
        (progress.stages["ready"], "ready"),
        (progress.unfinished - progress.paused, "in work"),
        (progress.paused, "paused"),
        (progress.stages["failed"], "failed"),
        (progress.stages["cancelled"], "cancelled"),
    ):
        if number:
            parts.append(f"{number:,} {words}")
    return " · ".join(parts)


def describe_hindrance(progress: Progress) -> str:
    """Why nothing moves, and what to do about it, as Markdown; empty when work goes on."""
    worker = progress.worker
    if not worker.alive:
        seen = f" The last one was seen at {clock(worker.last_seen)}." if worker.last_seen else ""
        return f"**No worker is running.**{seen} Start one with `corpuscope worker`; everything waits where it is."
    if worker.waiting_until is not None and worker.waiting_until > progress.at:
        why = f" {plain(worker.waiting_reason)}" if worker.waiting_reason else ""
        return f"**Waiting for the provider until {clock(worker.waiting_until)}.**{why}"
    if worker.loading >= worker.alive:
        return "**The model is loading.** Work begins by itself; on the very first start that can take a minute."
    return ""


def describe_work(progress: Progress, meter: RateMeter) -> str:
    """``Embedding 120 of 400 chunks · 60 chunks/s · about 5 s left · 3 documents wait, the longest for 4 s``."""
    if progress.unfinished == progress.paused:
        return "Paused"
    busy = progress.unfinished - progress.waiting - progress.paused
    parts = [_doing(progress)] if busy else []
    remaining = progress.chunks - progress.embedded
    if meter.rate and progress.worker.alive and remaining:
        parts.append(f"{meter.rate:,.0f} chunks/s" if meter.rate >= 10 else f"{meter.rate:.1f} chunks/s")
        if progress.remaining is not None:
            parts.append(f"about {duration(max(1, progress.remaining / meter.rate))} left")
    if progress.waiting and progress.longest_wait_s is not None:
        verb = "waits" if progress.waiting == 1 else "wait"
        longest = duration(progress.longest_wait_s)
        parts.append(f"{count(progress.waiting, 'document')} {verb} to be read, the longest for {longest}")
    return " · ".join(parts)


def _doing(progress: Progress) -> str:
    if progress.chunks > progress.embedded:
        return f"Embedding {progress.embedded:,} of {progress.chunks:,} chunks"
    reading = progress.stages["parsing"] + progress.stages["chunking"]
    if reading:
        return f"Reading {count(reading, 'document')}"
    return f"{count(progress.unfinished, 'document')} to do"
