"""What is selected on the map, beside it: figures, words, samples, and what can be done with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from pages.parts import curate_deeds, explore_state
from pages.parts.addresses import span_query
from pages.parts.confirmation import show_refusal
from pages.parts.curate_compare import compare
from pages.parts.guests import is_guest
from pages.parts.scope_actions import chat_only_with, draft_questions_from, save_selection
from pages.parts.session import connect
from pages.parts.words import count, plain
from rag.curation import acts
from rag.curation.selecting import Selection, Span, Summary, resolve, summarise
from rag.mapping.maps import CorpusMap
from rag.records import Collection

#: What Markdown puts before a heading.
_HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
_HINT = (
    "Draw around points on the map: choose the lasso or the box, or hold Shift and drag. Clusters can be selected too."
)

_SAVE_HELP = "Give the selection a name, under which the Search lab, the chat and the command line find it again"


def show(collection: Collection, map_: CorpusMap, selection: Selection | None) -> None:
    """Draw the panel; without a selection it says how to make one."""
    show_refusal()
    if selection is None:
        st.caption(_HINT)
        return
    found = _summary(map_, selection)
    if not found.chunks:
        st.caption("Nothing is there: the selection holds no passage.")
        return
    left_out = f"  \n:gray[{count(found.excluded, 'passage')} left out of search]" if found.excluded else ""
    st.markdown(f"**{count(found.chunks, 'passage')}** of **{count(found.documents, 'document')}**{left_out}")
    _words(found)
    if collection.role in ("editor", "owner"):
        _acts(collection, map_, selection, found)
    _uses(collection, map_, selection)
    _samples(found)
    compare(map_, selection, found)


def _summary(map_: CorpusMap, selection: Selection) -> Summary:
    def read() -> Summary:
        with connect() as conn:
            return summarise(conn, map_.id, selection)

    return explore_state.keep(("summary", map_.id, map_.version, selection.to_text()), read)


def _words(found: Summary) -> None:
    if found.words:
        st.markdown(
            " ".join(f":blue-badge[{plain(word)}]" for word, _ in found.words[:10]),
            help="Frequent here, rare elsewhere",
        )


def _acts(collection: Collection, map_: CorpusMap, selection: Selection, found: Summary) -> None:
    with st.container(horizontal=True, gap="small", key="curate-acts"):
        if found.excluded < found.chunks and st.button(
            "Exclude", icon=":material/visibility_off:", key="curate_exclude"
        ):
            curate_deeds.exclude(collection, _spans(map_, selection))
        if found.excluded and st.button("Include again", icon=":material/visibility:", key="curate_include"):
            curate_deeds.include(collection, _spans(map_, selection))
        with st.popover("Tag", icon=":material/sell:"):
            _tagging(collection, map_, selection)
        if st.button(
            "Move",
            icon=":material/drive_file_move:",
            key="curate_move",
            help="Move their documents to another collection",
        ):
            curate_deeds.move(collection, _documents(map_, selection))
        if st.button("Delete", icon=":material/delete:", key="curate_delete", help="Put their documents in the trash"):
            curate_deeds.trash(collection, _documents(map_, selection), found.chunks)


def _tagging(collection: Collection, map_: CorpusMap, selection: Selection) -> None:
    with connect() as conn:
        known = acts.list_tags(conn, collection.id)
    tag: str | None = st.selectbox(
        "Tag",
        known,
        index=None,
        accept_new_options=True,
        placeholder="Choose a tag, or type a new one",
        key="curate_tag",
    )
    with st.container(horizontal=True):
        put = st.button("Put on", key="curate_tag_on", type="primary", disabled=not tag)
        take = st.button("Take off", key="curate_tag_off", disabled=tag not in known)
    if tag and put:
        curate_deeds.do_at_once(lambda conn: acts.tag(conn, collection.id, _spans(map_, selection), tag))
    if tag and take:
        curate_deeds.do_at_once(lambda conn: acts.untag(conn, collection.id, _spans(map_, selection), tag))


def _uses(collection: Collection, map_: CorpusMap, selection: Selection) -> None:
    with st.container(horizontal=True, gap="small", key="curate-uses"):
        if st.button("Chat only with these", icon=":material/chat:", key="curate_chat", type="tertiary"):
            chat_only_with(collection, _spans(map_, selection))
        if collection.role not in ("editor", "owner") or is_guest():
            return
        if st.button("Draft questions", icon=":material/edit_note:", key="curate_draft", type="tertiary"):
            draft_questions_from(collection, _spans(map_, selection))
        if st.button("Save", icon=":material/bookmark_add:", key="curate_save", type="tertiary", help=_SAVE_HELP):
            save_selection(collection, _spans(map_, selection))


def _samples(found: Summary) -> None:
    with st.expander("Documents", key="curate-documents"):
        st.markdown("\n".join(f"- {plain(title)} :gray[{points:,}]" for title, points in found.titles))
        if found.documents > len(found.titles):
            st.caption(f"and {found.documents - len(found.titles):,} more")
    with st.container(key="curate-samples", gap="small"):
        for sample in found.samples:
            page = f" · page {sample.page}" if sample.page else ""
            out = " · left out of search" if sample.excluded else ""
            text = " ".join(_HEADING.sub("", sample.text).split())
            st.markdown(f"{plain(text[:160])}{'…' if len(text) > 160 else ''}")
            st.page_link(
                "pages/document.py",
                label=f"{plain(sample.title)}{page}{out}",
                icon=":material/description:",
                query_params=span_query(sample.document_id, sample.start, sample.end),
            )


def _spans(map_: CorpusMap, selection: Selection) -> list[Span]:
    with connect() as conn:
        return resolve(conn, map_.id, selection)


def _documents(map_: CorpusMap, selection: Selection) -> Sequence[UUID]:
    return list(dict.fromkeys(span.document_id for span in _spans(map_, selection)))
