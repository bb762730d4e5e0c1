"""How far a collection has come: one bar, the rate, what is left, and what it waits for, in words."""

from __future__ import annotations

import streamlit as st

from pages.parts.words import clock, count, duration, plain
from rag.progress import Progress, RateMeter
from rag.records import Collection


def rate_of(collection: Collection, progress: Progress) -> RateMeter:
    """This session's meter for the collection, fed with the newest look."""
    meters: dict[str, RateMeter] = st.session_state.setdefault("rate_meters", {})
    meter = meters.setdefault(str(collection.id), RateMeter())
    meter.feed(progress.at.timestamp(), progress.embedded_total)
    return meter


def progress_bar(progress: Progress, meter: RateMeter) -> None:
    """Nothing when all is done; else a bar over what is unfinished, and one line under it."""
    hindrance = describe_hindrance(progress)
    if hindrance and progress.unfinished:
        st.warning(hindrance, icon=":material/pause_circle:")
    if not progress.unfinished:
        return
    share = progress.embedded / progress.chunks if progress.chunks else 0.0
    st.progress(min(1.0, share), text=describe_work(progress, meter))


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
    busy = progress.unfinished - progress.waiting - progress.paused
    parts = [_doing(progress)] if busy else []
    remaining = progress.chunks - progress.embedded
    if meter.rate and progress.worker.alive and remaining:
        parts.append(f"{meter.rate:,.0f} chunks/s" if meter.rate >= 10 else f"{meter.rate:.1f} chunks/s")
        left = meter.eta(remaining)
        if left is not None and not progress.waiting:
            parts.append(f"about {duration(max(1, left))} left")
    if progress.waiting and progress.longest_wait_s is not None:
        verb = "waits" if progress.waiting == 1 else "wait"
        longest = duration(progress.longest_wait_s)
        parts.append(f"{count(progress.waiting, 'document')} {verb} to be read, the longest for {longest}")
    if progress.paused:
        parts.append(f"{count(progress.paused, 'document')} paused")
    return " · ".join(parts)


def _doing(progress: Progress) -> str:
    if progress.chunks > progress.embedded:
        return f"Embedding {progress.embedded:,} of {progress.chunks:,} chunks"
    reading = progress.stages["parsing"] + progress.stages["chunking"]
    if reading:
        return f"Reading {count(reading, 'document')}"
    return f"{count(progress.unfinished, 'document')} to do"
