"""An answer's sources: markers that open the quoted span, marks on what its passages don't back, and the quotes."""

from __future__ import annotations

from collections import defaultdict

import streamlit as st

from pages.parts.addresses import citation_address, citation_query, span_address
from pages.parts.highlights import cut_around, mark_spans
from pages.parts.markdown import link_markers, sanitise
from pages.parts.support_marks import mark_support, put_marks, support_note, support_of
from pages.parts.words import plain
from rag.chat.chat_records import Citation, Message, Passage


def answer_markdown(message: Message) -> str:
    """The answer's text with each marker linked to the words that it quotes, and unbacked sentences marked."""
    passages = {passage.number: passage for passage in message.passages}
    ordered = sorted(message.citations, key=lambda citation: citation.ordinal)

    def address(position: int, number: int) -> str | None:
        cited = _citation_at(ordered, position, number)
        passage = passages.get(number)
        if cited is not None:
            document = passage.document_id if passage else None
            return citation_address(message.id, cited.ordinal, document, cited.start, cited.end)
        if passage is None or passage.document_id is None:
            return None
        return span_address(passage.document_id, passage.start, passage.end)

    return put_marks(link_markers(sanitise(mark_support(message.content, support_of(message))), address))


def _citation_at(ordered: list[Citation], position: int, number: int) -> Citation | None:
    if position < len(ordered) and ordered[position].number == number:
        return ordered[position]
    return next((citation for citation in ordered if citation.number == number), None)


def sources_row(message: Message) -> None:
    """One popover a cited passage, in order of its number."""
    cited: dict[int, list[Citation]] = defaultdict(list)
    for citation in message.citations:
        cited[citation.number].append(citation)
    passages = [passage for passage in message.passages if passage.number in cited]
    if not passages:
        if support_of(message):
            with st.container(horizontal=True, key=f"sources-{message.id}"):
                support_note(message)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"sources-{message.id}"):
        st.caption("Sources", width="content")
        for passage in sorted(passages, key=lambda passage: passage.number):
            _source(message, passage, cited[passage.number])
        support_note(message)


def _source(message: Message, passage: Passage, citations: list[Citation]) -> None:
    page = f", p. {passage.page}" if passage.page else ""
    name = passage.document if len(passage.document) <= 34 else f"{passage.document[:30]}…"
    with st.popover(f"\\[{passage.number}\\] {plain(name)}{page}", key=f"source-{message.id}-{passage.number}"):
        st.markdown(f"**{plain(passage.title or passage.document)}**{plain(page)}")
        spans = [(citation.start - passage.start, citation.end - passage.start) for citation in citations]
        inside = sorted((start, end) for start, end in spans if 0 <= start < end <= len(passage.text))
        text, shown = cut_around(passage.text, inside, most=700)
        st.html(f'<div class="cs-text cs-quote" dir="auto">{mark_spans(text, shown)}</div>')
        _beside(passage, citations)
        _since(passage)
        first = min(citations, key=lambda citation: citation.start)
        st.page_link(
            "pages/document.py",
            label="Open at the quote",
            icon=":material/article:",
            query_params=citation_query(message.id, first.ordinal, passage.document_id, first.start, first.end),
        )


def _since(passage: Passage) -> None:
    """What became of the document since it was quoted; the text above is that of the answer's time either way."""
    if passage.document_id is None:
        st.caption("The document was deleted since; this text is what was read of it.")
    elif passage.revision_now is None:
        st.caption("The document is in the trash now, or not shared with you any more; this text is what was read.")
    elif passage.revision_now != passage.text_revision:
        st.caption("The document was corrected since; this text is what was read then.")


def _beside(passage: Passage, citations: list[Citation]) -> None:
    """What is quoted from a neighbour of the passage, which the model read with it."""
    quotes = dict.fromkeys(
        citation.quote for citation in citations if citation.start < passage.start or citation.end > passage.end
    )
    if quotes:
        st.caption("Quoted from the text beside this passage")
    for quote in quotes:
        st.html(f'<div class="cs-text cs-quote" dir="auto">{mark_spans(quote, [(0, len(quote))])}</div>')
