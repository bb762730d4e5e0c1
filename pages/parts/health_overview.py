"""A health check on its page: what it found in a sentence, how old that is, and while it goes on how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from pages.parts.empty import empty_state
from pages.parts.health_acts import take_back_now
from pages.parts.health_words import LISTS, PHASE_WORDS, WORDS, ListName, describe_drift, headline
from pages.parts.notices import notify
from pages.parts.session import connect
from pages.parts.words import ago, clock, count, duration, guarded, plain, show_error
from rag.corpus.progress import read_worker_status
from rag.errors import CorpuscopeError
from rag.health.health_checks import Drift, HealthCheck, cancel_check, read_check, start_check
from rag.health.kept_findings import Kept, list_kept
from rag.records import Collection

#: The widget, and the parameter of the address.
LIST = "list"
_TITLES = {"duplicates": WORDS["duplicates"].title, **{name: WORDS[name].title for name in LISTS}}


def start(collection: Collection) -> None:
    """Ask the worker for a check."""
    try:
        with connect() as conn:
            start_check(conn, collection.id)
    except CorpuscopeError as error:
        show_error(error)
        return
    notify("The corpus is being looked over.", icon="health_and_safety")
    st.rerun()


def never_checked(collection: Collection, *, editable: bool) -> None:
    """Before the first check: what one would say."""
    with empty_state(
        "Nothing was checked yet",
        "A check looks for near-duplicates, boilerplate, passages that are far from everything, very short, very long"
        " or in another language, and documents that no question found. It changes nothing.",
        icon="health_and_safety",
        key="no-health",
    ):
        if editable:
            if st.button("Check this corpus", type="primary", icon=":material/play_arrow:", key="health_start"):
                start(collection)
        else:
            st.caption("Editors of this collection can start a check.")


def watch_check(check: HealthCheck, *, editable: bool) -> None:
    """How far a check is that waits or runs; the page is drawn again once it ends."""
    st.fragment(_look, run_every=1.0, key="health-live")(check.id, editable)


@guarded
def _look(check_id: int, editable: bool) -> None:
    with connect() as conn:
        check = read_check(conn, check_id)
        alive = read_worker_status(conn).alive
    if not check.unfinished:
        st.rerun()
    if not alive:
        st.warning("**No worker is running.** Start one with `corpuscope worker`.", icon=":material/pause_circle:")
    with st.container(horizontal=True, vertical_alignment="center", key="health-progress"):
        st.progress(_share(check), text=describe_progress(check))
        if editable and st.button("Cancel", icon=":material/close:", type="tertiary", key="health_cancel"):
            with connect() as conn:
                cancel_check(conn, check_id)
            st.rerun()


def _share(check: HealthCheck) -> float:
    """Where the bar stands: each phase has as much of it as the next."""
    phases = list(PHASE_WORDS)
    if check.state == "queued" or check.phase not in phases:
        return 0.0
    within = check.done / check.total if check.total else 0.0
    return min(1.0, (phases.index(check.phase) + within) / len(phases))


def describe_progress(check: HealthCheck) -> str:
    """``Reading the passages · 2,000 of 20,000``."""
    if check.state == "queued":
        return "Waits for its turn"
    parts = [PHASE_WORDS.get(check.phase, "Working")]
    if check.total:
        parts.append(f"{check.done:,} of {check.total:,}")
    if check.reason:
        parts.append(plain(check.reason))
    return " · ".join(parts)


def show_ended(check: HealthCheck) -> None:
    """Why the newest check has nothing to say."""
    if check.state == "cancelled":
        st.info(f"The check of {clock(check.created_at)} was cancelled.", icon=":material/cancel:")
    elif check.state == "failed":
        st.error(f"{plain(check.reason or '')} {plain(check.hint or '')}".strip(), icon=":material/error:")


def show_overview(
    collection: Collection, check: HealthCheck, counts: Mapping[ListName, int], drift: Drift | None, *, again: bool
) -> None:
    """What is worth a look, and what was looked at."""
    title, which = headline(counts)
    with st.container(horizontal=True, vertical_alignment="center", key="health-overview"):
        st.subheader(title, anchor=False, width="stretch")
        if again and st.button("Check again", icon=":material/refresh:", key="health_again"):
            start(collection)
    if which:
        st.markdown(which)
    st.caption(describe_check(check))
    if drift is not None:
        st.warning(describe_drift(drift), icon=":material/update:")


def describe_check(check: HealthCheck) -> str:
    """What was looked at, when, and how long that took."""
    figures = check.figures
    parts = [
        f"Index {check.index_id}",
        f"{count(figures.get('passages', 0), 'passage')} of {count(figures.get('documents', 0), 'document')}",
        f"checked {ago(check.finished_at or check.created_at)} in {duration(sum(check.timings.values()))}",
    ]
    return " · ".join(parts)


def pick_list(counts: Mapping[ListName, int]) -> ListName:
    """Which list is shown; the address keeps it.

    The labels hold counts, so the widget can't be bound to the address by itself.
    """
    if LIST not in st.session_state:
        named = st.query_params.get(LIST)
        first = next((name for name in LISTS if counts.get(name)), LISTS[0])
        st.session_state[LIST] = named if named in LISTS else first
    chosen: ListName | None = st.pills(
        "List",
        list(LISTS),
        required=True,
        format_func=lambda name: f":material/{WORDS[name].icon}: {WORDS[name].title} · {counts.get(name, 0):,}",
        key=LIST,
        label_visibility="collapsed",
    )
    assert chosen is not None
    st.query_params[LIST] = chosen
    return chosen


def show_kept(collection: Collection, *, editable: bool) -> None:
    """What somebody keeps as it is, and the way to take that back."""
    with connect() as conn:
        kept = list_kept(conn, collection.id)
    if not kept:
        return
    with st.expander(f"Kept as they are · {len(kept):,}", icon=":material/done_all:"):
        for one in kept:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(describe_kept(one), width="stretch")
                if editable:
                    st.button(
                        "Take back",
                        key=f"health_back_{one.id}",
                        type="tertiary",
                        icon=":material/undo:",
                        on_click=take_back_now,
                        args=(one.id, _TITLES[one.finding]),
                    )


def describe_kept(kept: Kept) -> str:
    """``**Near-duplicates** · 4 passages in 3 documents, a.txt first · 2 days ago``."""
    what = count(kept.documents, "document") if kept.finding == "unretrieved" else count(kept.spans, "passage")
    where = "" if kept.finding == "unretrieved" else f" in {count(kept.documents, 'document')}"
    return f"**{_TITLES[kept.finding]}** · {what}{where} · {plain(kept.first)} · {ago(kept.created_at)}"


def latest_done(checks: Sequence[HealthCheck]) -> HealthCheck | None:
    """The newest check that has something to say."""
    return next((check for check in checks if check.state == "done"), None)
