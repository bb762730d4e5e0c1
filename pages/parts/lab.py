"""The Search lab: a question, the settings of a profile, and what they find, anew each time that one of them moves."""

from __future__ import annotations

import streamlit as st

from pages.parts import hit_cards, lab_comparison
from pages.parts.asking import wait_for_model
from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.empty import sample_questions
from pages.parts.explore_address import explore_query
from pages.parts.hit_actions import last_action, listen
from pages.parts.lab_address import Side, View
from pages.parts.lab_controls import ask_row, sliders
from pages.parts.lab_desk import BUILT_IN, Desk, find_index
from pages.parts.lab_histogram import Chart, show_chart
from pages.parts.lab_profiles import label, pick_profile, show_changes
from pages.parts.lab_results import Found, act_on, count_all, find, note_shown, show_hits
from pages.parts.lab_state import (
    OTHER,
    QUESTION,
    base,
    change_settings,
    given_other,
    keep,
    put_back_lost,
    read_controls,
    remember,
    side_of,
)
from pages.parts.why import DOCUMENT, PHRASE, why_not
from pages.parts.words import count, guarded
from rag.retrieval.profiles import RetrievalProfile


@st.fragment
@guarded
def show_lab(desk: Desk, view: View) -> None:
    """Controls and results in one fragment; ``desk`` is what the page has read, ``view`` where it begins."""
    if action := last_action():
        act_on(desk, action)
    put_back_lost(desk)
    with st.container(key="lab"):
        ask_row()
        with st.container(horizontal=True, key="lab-body", gap="medium"):
            with st.container(key="lab-panel", width=264, gap="small"):
                profile, other = _panel(desk, view)
            main = st.container(key="lab-main")
        question = (st.session_state.get(QUESTION) or "").strip()
        here = side_of(profile, view.side.index)
        remember(View(question, here, other, desk.documents, view.scope), desk.collection.id)
        with main:
            if not question:
                st.html(
                    '<p class="cs-quiet cs-flat">Ask something: the passages come here, and change as you move.</p>'
                )
                sample_questions(desk.collection, key="search", on_click=ask_this)
            elif other is None:
                _show_one(desk, question, profile)
            else:
                _show_two(desk, question, profile, other)
        listen()


def _panel(desk: Desk, view: View) -> tuple[RetrievalProfile, Side | None]:
    pick_profile(desk)
    profile = sliders(desk)
    show_changes(desk, profile)
    return profile, _pick_other(desk, view, profile)


def _pick_other(desk: Desk, view: View, profile: RetrievalProfile) -> Side | None:
    """What to compare with: a saved version, what this one was saved as, or the built-in settings."""
    own = side_of(profile, view.side.index)
    sides = {label(one): Side(one.name, one.version) for one in desk.stored}
    sides["Built-in settings"] = Side(changes=BUILT_IN.to_json())
    sides |= {
        f"Same settings, index {one.id} ({one.model})": Side(own.profile, own.version, own.changes, one.id)
        for one in desk.indexes
        if desk.index and one.id != desk.index.id
    }
    if own.changes:
        before = base()
        sides = {"Without my changes": Side(before.name, before.version) if before else Side()} | sides
    sides, linked = _with_given(desk, sides)
    names = ["", *sides]
    if st.session_state.get(OTHER, linked) not in names:
        st.session_state[OTHER] = ""
    st.session_state.setdefault(OTHER, linked)
    chosen = st.selectbox(
        "Compare with",
        names,
        format_func=lambda name: name or "Nothing",
        key=OTHER,
        help="Shows what the other settings find beside what these do: what entered, left and moved.",
    )
    return sides.get(chosen or "")


def _with_given(desk: Desk, sides: dict[str, Side]) -> tuple[dict[str, Side], str]:
    """What is on offer and the other side that the address named, under its name; empty where it named none."""
    given = given_other()
    if given is None:
        return sides, ""
    settings = desk.settings_of(given)
    for name, side in sides.items():
        if (desk.settings_of(side), side.index) == (settings, given.index):
            return sides, name
    return sides | {"As in the link": given}, "As in the link"


def _show_one(desk: Desk, question: str, profile: RetrievalProfile) -> None:
    chart = st.container(key="lab-chart")
    found = find(desk, question, profile, desk.index)
    note_shown(question, found.hits)
    if found.waiting:
        wait_for_model(desk.index.model if desk.index else None)
    if found.hits:
        _result_line(desk, question, found)
        show_hits(desk, question, found)
    else:
        show_nothing_found(desk, found.profile)
    with chart:
        _draw_chart(desk, question, found)
    _ask_why(desk, question, found)


def _ask_why(desk: Desk, question: str, found: Found) -> None:
    """Folded away and not asked until it is opened: following a document costs a search of its own."""
    asked = DOCUMENT in st.query_params or PHRASE in st.query_params
    why = st.expander("Why isn’t it here?", icon=":material/help:", key="lab-why", expanded=asked, on_change="rerun")
    if why.open:
        with why:
            index = desk.index.id if desk.index else None
            why_not(
                desk.collection,
                question,
                found.vector,
                found.profile,
                index,
                documents=list(desk.documents) or None,
                scope=desk.scope.id if desk.scope else None,
                rows=desk.rows,
                on_fix=lambda settings: change_settings(**settings),
            )


def _draw_chart(desk: Desk, question: str, found: Found) -> None:
    """Last, though it stands above: counting a large collection once must not hold up the hits."""
    if found.vector is None or desk.index is None:
        return
    histogram = count_all(desk, question, desk.index, found.vector)
    show_chart(Chart(histogram, found.hits, found.profile.threshold, desk.baseline))


def _result_line(desk: Desk, question: str, found: Found) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="result-line"):
        st.html(f'<p class="cs-quiet cs-flat">{_summary(desk, found)}</p>', width="stretch")
        _quiet_button("why", "help", "Something missing?", "Follow a document or a phrase through this search")
        _copy_link()
        _link_to_map(desk, question)
        rows = hit_cards.csv_rows(found.hits)
        _download(desk, question, "search results", rows, hit_cards.CSV_COLUMNS, "hits_csv")


def _copy_link() -> None:
    _quiet_button("copy", "link", "Copy link", "The address shows the same to everybody who may see the collection")


def _link_to_map(desk: Desk, question: str) -> None:
    st.page_link(
        "pages/explore.py",
        label="On the map",
        icon=":material/scatter_plot:",
        query_params=explore_query(desk.collection.id, question=question, side=side_of(read_controls(), None)),
        help="Where these passages lie, and what the settings cut off",
        width="content",
    )


def _quiet_button(act: str, icon: str, words: str, title: str) -> None:
    """A button that the browser sees to by itself."""
    st.html(
        f'<button type="button" class="cs-act" data-act="{act}" title="{title}">'
        f'<span class="cs-icon" aria-hidden="true">{icon}</span><span>{words}</span></button>',
        width="content",
    )


def _download(
    desk: Desk, question: str, what: str, rows: list[dict[str, object]], columns: tuple[str, ...], key: str
) -> None:
    st.download_button(
        "CSV",
        handing_out(desk.collection.id, what, lambda conn: to_csv(rows, columns), rows=len(rows)),
        file_name=file_name(desk.collection.name, question[:40]),
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key=key,
        help=f"These {what} as a CSV file",
    )


def _summary(desk: Desk, found: Found) -> str:
    documents = len({hit.document_id for hit in found.hits})
    words = f"{count(len(found.hits), 'passage')} from {count(documents, 'document')} in {found.took * 1000:.0f} ms"
    if desk.progress.unfinished:
        words += f" · {count(desk.progress.unfinished, 'document')} still being read, so this may grow"
    return words


def _show_two(desk: Desk, question: str, profile: RetrievalProfile, other: Side) -> None:
    settings = desk.settings_of(other)
    found = find(desk, question, profile, desk.index)
    index = keep(("index", other.index), lambda: find_index(desk, other.index)) if other.index else desk.active
    beside = find(desk, question, settings, index)
    note_shown(question, [*beside.hits, *found.hits])
    if found.waiting or beside.waiting:
        waited = desk.index if found.waiting else index
        wait_for_model(waited.model if waited else None)
    pairs = lab_comparison.pair_hits(found.hits, beside.hits)
    with st.container(horizontal=True, vertical_alignment="center", key="result-line"):
        st.html(f'<p class="cs-flat"><b>{lab_comparison.summarise(pairs)}</b></p>', width="stretch")
        _copy_link()
        rows = lab_comparison.csv_rows(pairs)
        _download(desk, question, "comparison", rows, lab_comparison.CSV_COLUMNS, "comparison_csv")
    there = st.session_state[OTHER]
    with st.container(key="results"):
        st.html(lab_comparison.columns_html(pairs, f"{label(base())} as set here", there))


def show_nothing_found(desk: Desk, profile: RetrievalProfile) -> None:
    """What to change, in sentences."""
    advice = []
    if profile.threshold:
        advice.append(f"lower the least similarity, which is {profile.threshold:.2f}")
    if desk.documents:
        advice.append("look in all documents")
    if desk.scope:
        advice.append("look beyond the selection")
    if profile.mode == "lexical":
        advice.append("try the method Meaning, which finds other words for the same thing")
    if desk.progress.unfinished:
        advice.append(f"wait for the {count(desk.progress.unfinished, 'document')} still being read")
    st.info(
        f"Nothing was found. You could {', or '.join(advice) or 'put it in other words'}.", icon=":material/search_off:"
    )


def ask_this(question: str) -> None:
    """Callback of the sample questions."""
    st.session_state[QUESTION] = question
