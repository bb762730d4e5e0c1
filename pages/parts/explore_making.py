"""Making a map: what one can choose, how far it is, and what became of it; and how far the shown one is behind."""

from __future__ import annotations

import streamlit as st

from pages.parts import explore_state
from pages.parts.empty import empty_state
from pages.parts.explore_desk import Desk
from pages.parts.guests import is_guest
from pages.parts.notices import notify
from pages.parts.progress_bar import progress_bar, rate_of
from pages.parts.session import connect
from pages.parts.words import count, duration, guarded, plain, show_error
from rag.corpus.progress import RateMeter, read_progress, read_worker_status
from rag.errors import CorpuscopeError
from rag.mapping.maps import PHASES, UNFINISHED, CorpusMap, MapSettings, cancel_map, list_maps, request_map

_METERS = "explore_meters"
_NEIGHBOURS_HELP = (
    "How many of its nearest passages each one is laid out with. **Few** (5) draws small, separate groups and shows "
    "fine detail; **many** (50) draws the large picture, and takes longer. 15 suits most collections."
)
_DISTANCE_HELP = (
    "How close points may come. **0** packs alike passages into tight clumps, which makes clusters stand out; **0.5** "
    "spreads them, which makes single points easier to hit."
)
#: What goes on in each phase, and what its steps are.
_DOING = {
    "reading": ("Reading vectors", "vectors"),
    "neighbours": ("Finding neighbours", "passages"),
    "layout": ("Laying out", "rounds"),
    "clusters": ("Finding clusters", "steps"),
    "labels": ("Naming clusters", "clusters"),
    "measuring": ("Measuring how true the picture is", "passages"),
}


def settings_form(desk: Desk, *, key: str, label: str, primary: bool = True) -> None:
    """The two settings and the button."""
    last = desk.maps[0].settings if desk.maps else MapSettings()
    with st.container(key=f"map-form-{key}", width=420):
        neighbours = st.slider("Neighbours", 5, 100, last.neighbours, key=f"{key}_neighbours", help=_NEIGHBOURS_HELP)
        distance = st.slider(
            "Minimum distance", 0.0, 0.8, last.min_dist, step=0.05, key=f"{key}_distance", help=_DISTANCE_HELP
        )
        if st.button(
            label, type="primary" if primary else "secondary", icon=":material/map:", key=f"{key}_make", width="stretch"
        ):
            _request(desk, MapSettings(neighbours, distance))


def _request(desk: Desk, settings: MapSettings) -> None:
    try:
        with connect() as conn:
            request_map(conn, desk.collection.id, settings)
    except CorpuscopeError as error:
        show_error(error)
        return
    explore_state.change(map_id=None)
    st.rerun()


def show_first(desk: Desk) -> None:
    """In place of a map where there is none: making one, watching it, or what went wrong."""
    if desk.working is not None:
        with empty_state(
            "The first map is being made",
            f"Every passage becomes a point; what is alike lies together. {_how_many(desk)}",
            icon="scatter_plot",
            key="map-making",
        ):
            watch(desk)
        return
    _say_what_became_of(desk)
    if not desk.may_edit:
        words = "An owner or editor of this collection can make one."
        with empty_state("There is no map yet", words, icon="scatter_plot", key="map"):
            pass
        return
    text = f"A map shows every passage as a point; what is alike lies together. {_how_many(desk)}"
    with empty_state("Make a map of this collection", text, icon="scatter_plot", key="map"):
        if desk.progress.active:
            st.fragment(_watch_documents, run_every=1.0, key="map-documents")(desk)
        settings_form(desk, key="first", label="Make map now" if desk.progress.active else "Make map")


@guarded
def _watch_documents(desk: Desk) -> None:
    """A map of half a collection is half a map: how far the documents are, until they are all there."""
    with connect() as conn:
        progress = read_progress(conn, desk.collection.id)
    if not progress.active:
        st.rerun()
    with st.container(width=420):
        progress_bar(progress, rate_of(desk.collection, progress))


def _how_many(desk: Desk) -> str:
    waiting = desk.progress.unfinished
    words = f"{count(desk.progress.embedded_total, 'passage')} can be drawn now"
    if not waiting:
        return f"{words}."
    return f"{words}. {count(waiting, 'document')} still being read will be placed on it without a new layout."


def _say_what_became_of(desk: Desk) -> None:
    last = desk.maps[0] if desk.maps else None
    if last is None:
        return
    if last.state == "failed":
        hint = f"  \n{plain(last.hint)}" if last.hint else ""
        st.error(f"The last map failed: {plain(last.reason or '')}{hint}", icon=":material/error:")
    elif last.state == "cancelled":
        st.info("The last map was cancelled before it was drawn.", icon=":material/cancel:")


def show_notice(desk: Desk) -> None:
    """Above the map: another one in work, what became of the last one, and what the shown one doesn't have."""
    if desk.working is not None:
        watch(desk)
        return
    last = desk.maps[0] if desk.maps else None
    if last is not None and last.id > desk.map.id and last.state in ("failed", "cancelled"):
        _say_what_became_of(desk)
    words = describe_staleness(desk)
    if not words:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="explore-stale"):
        st.caption(f":material/update: {words}", width="content")
        if desk.may_edit and st.button("Make a new map", type="tertiary", icon=":material/map:", key="explore_remake"):
            _request(desk, desk.map.settings)


def describe_staleness(desk: Desk) -> str:
    """How far the map is behind its index, and whether that is the one that is searched; empty when it isn't."""
    stale, parts = desk.map.staleness, []
    if desk.map.index_id != desk.collection.active_index_id:
        parts.append("This map is of an index that is not the one that is searched")
    if stale.placed:
        verb = "was" if stale.placed == 1 else "were"
        parts.append(f"{count(stale.placed, 'new passage')} {verb} placed without a new layout")
    if stale.new:
        verb = "is" if stale.new == 1 else "are"
        parts.append(
            f"{stale.new:,} {verb} not on it yet" if parts else f"{count(stale.new, 'passage')} {verb} not on it yet"
        )
    if stale.gone:
        verb = "is" if stale.gone == 1 else "are"
        parts.append(
            f"{stale.gone:,} {verb} gone since" if parts else f"{count(stale.gone, 'passage')} {verb} gone since"
        )
    return "; ".join(parts) + "." if parts else ""


def watch(desk: Desk) -> None:
    """How far the map in work is, live; the page is drawn again when there is something new to see."""
    assert desk.working is not None
    st.fragment(_look, run_every=1.0, key="map-live")(desk, _stamp(desk.working))


def _stamp(one: CorpusMap) -> tuple[object, ...]:
    return one.id, one.state, one.drawn, one.version


@guarded
def _look(desk: Desk, before: tuple[object, ...]) -> None:
    with connect() as conn:
        now = next((one for one in list_maps(conn, desk.collection.id) if one.id == before[0]), None)
        alive = read_worker_status(conn).alive
    if now is None or (now.state not in UNFINISHED) or (now.drawn and _stamp(now) != before):
        if now is not None and now.state == "done":
            explore_state.renew()
            notify("The map is ready.", icon="map")
        st.rerun()
    if not alive:
        st.warning(
            "**No worker is running.** Start one with `corpuscope worker`; everything waits where it is.",
            icon=":material/pause_circle:",
        )
    with st.container(horizontal=True, vertical_alignment="center", key="map-live-row"):
        st.progress(_share(now), text=describe_progress(now, _meter(now)))
        if desk.may_edit and st.button("Cancel", icon=":material/close:", type="tertiary", key="map_cancel"):
            with connect() as conn:
                cancel_map(conn, now.id)
            st.rerun()


def _meter(one: CorpusMap) -> RateMeter:
    """Steps differ from phase to phase, so each has a meter of its own."""
    meters: dict[tuple[int, str | None], RateMeter] = st.session_state.setdefault(_METERS, {})
    meter = meters.setdefault((one.id, one.phase), RateMeter())
    meter.feed(one.at.timestamp(), one.done)
    return meter


def _share(one: CorpusMap) -> float:
    """Of all phases together, each taken as long as its share of a usual map is."""
    weights = dict(zip(PHASES, (0.1, 0.3, 0.4, 0.08, 0.06, 0.06), strict=True))
    if one.phase is None:
        return 0.0
    before = sum(weights[phase] for phase in PHASES[: PHASES.index(one.phase)])
    return min(1.0, before + weights[one.phase] * min(1.0, one.done / one.total if one.total else 0.0))


def describe_progress(one: CorpusMap, meter: RateMeter) -> str:
    """``Laying out · step 3 of 6 · 120 of 500 rounds · 40 a second · about 9 s left of this step``."""
    if one.state == "queued" or one.phase is None:
        return "Waits for its turn"
    doing, what = _DOING[one.phase]
    parts = [doing, f"step {PHASES.index(one.phase) + 1} of {len(PHASES)}"]
    if one.total:
        parts.append(f"{one.done:,} of {one.total:,} {what}")
        if meter.rate and one.done < one.total:
            parts.append(f"{meter.rate:,.0f} a second" if meter.rate >= 10 else f"{meter.rate:.1f} a second")
            if (left := meter.eta(one.total - one.done)) is not None:
                parts.append(f"about {duration(max(1, left))} left of this step")
    if one.reason:
        parts.append(plain(one.reason))
    return " · ".join(parts)


def may_make(desk: Desk) -> bool:
    """Whether a new map can be asked for now."""
    return desk.may_edit and desk.working is None and not is_guest()
