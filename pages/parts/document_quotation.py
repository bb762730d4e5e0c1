"""A document opened from a citation: the quoted words as they are now, and what was read when they changed since."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from pages.parts.addresses import read_citation
from pages.parts.highlights import cut_around, mark_spans
from pages.parts.session import connect
from pages.parts.words import plain
from rag.chat.quotations import Quotation, Whereabouts, find_quotation, read_quotation
from rag.errors import NotFound

Span = tuple[int, int]

_SINCE = {
    "moved": "The text was corrected since the answer was written. The quoted words stand unchanged at another place.",
    "changed": "The text was corrected since the answer was written: it says something else here now.",
    "removed": "The text was corrected since the answer was written: the quoted words are not in it any more.",
    "gone": "The document was deleted since the answer was written, or it isn't shared with you any more.",
}


def cited_words() -> tuple[Quotation, Whereabouts] | None:
    """What the address says was cited, and what became of it; None where it names nothing that the person may see."""
    address = read_citation()
    if address is None:
        return None
    try:
        with connect() as conn:
            quotation = read_quotation(conn, *address)
            return quotation, find_quotation(conn, quotation)
    except NotFound:
        return None


def show_since(quotation: Quotation, now: Whereabouts) -> None:
    """Nothing while the words are where they were; else what happened and, unless they only moved, what was read."""
    if now.since == "same":
        return
    if now.since == "moved":
        st.caption(f":material/move_down: {_SINCE['moved']}")
        return
    with st.container(border=True, key="quotation"):
        st.markdown(f":material/history: **{_SINCE[now.since]}**")
        page = f", page {quotation.page}" if quotation.page else ""
        st.caption(f"What was read of {plain(quotation.document)}{page} for the answer, with the words that it quotes:")
        _snapshot(quotation)
        _way_back(quotation.chat_id)


def show_gone(quotation: Quotation) -> None:
    """All that is left of a document that was cited."""
    st.title(plain(quotation.title or quotation.document), anchor=False)
    show_since(quotation, Whereabouts("gone"))


def _snapshot(quotation: Quotation) -> None:
    start, end = quotation.start - quotation.passage_start, quotation.end - quotation.passage_start
    inside = 0 <= start < end <= len(quotation.passage)
    text, spans = cut_around(quotation.passage, [(start, end)] if inside else [], most=1200)
    st.html(f'<div class="cs-text cs-quote" dir="auto">{mark_spans(text, spans)}</div>')
    if not inside:
        st.caption("Quoted from the text beside it:")
        whole = [(0, len(quotation.quote))]
        st.html(f'<div class="cs-text cs-quote" dir="auto">{mark_spans(quotation.quote, whole)}</div>')


def _way_back(chat_id: UUID) -> None:
    st.page_link(
        "pages/chat.py", label="Back to the answer", icon=":material/arrow_back:", query_params={"chat": str(chat_id)}
    )
