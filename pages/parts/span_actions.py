"""What can be done with a selected span: leave it out of search, tag it, correct it; each with a way back."""

from __future__ import annotations

from uuid import UUID

import streamlit as st

from pages.parts.notices import notify, offer_undo
from pages.parts.session import connect
from pages.parts.words import count, guarded, plain, show_error
from rag.corpus.documents import set_language
from rag.corpus.marks import exclude_span, remove_mark, restore_marks, tag_span
from rag.corpus.texts import correct_text, restore_revision
from rag.errors import CorpuscopeError
from rag.reading.languages import LANGUAGES, language_name
from rag.records import DocumentRow, DocumentText, SpanMark

Span = tuple[int, int]


def exclude(document_id: UUID, spans: list[Span]) -> None:
    """Leave the spans out of search and offer to take that back."""
    try:
        with connect() as conn:
            made = [exclude_span(conn, document_id, *span) for span in spans]
    except CorpuscopeError as error:
        show_error(error)
        return
    words = "The selected text is" if len(spans) == 1 else f"{count(len(spans), 'span')} are"
    offer_undo(f"{words} left out of search now.", lambda: _remove(made))
    st.rerun()


def _remove(marks: list[int]) -> None:
    with connect() as conn:
        for mark in marks:
            remove_mark(conn, mark)


def remove(mark: SpanMark) -> None:
    """Take a mark away and offer to put it back."""
    try:
        with connect() as conn:
            removed = remove_mark(conn, mark.id)
    except CorpuscopeError as error:
        show_error(error)
        return

    def put_back() -> None:
        with connect() as conn:
            restore_marks(conn, [removed])

    what = f"The tag {plain(mark.tag)} was removed." if mark.tag else "The text can be found again."
    offer_undo(what, put_back)
    st.rerun()


@st.dialog("Tag the selected text")
@guarded
def tag_dialog(document_id: UUID, spans: list[Span], known: list[str]) -> None:
    with st.form("tag", border=False):
        tag = st.selectbox(
            "Tag", known, index=None, accept_new_options=True, placeholder="Type a tag, or choose one that is used here"
        )
        submitted = st.form_submit_button("Tag it", type="primary", icon=":material/label:")
    if not submitted:
        return
    with connect() as conn:
        made = [tag_span(conn, document_id, *span, tag or "") for span in spans]
    offer_undo(f"Tagged {plain(tag or '')}.", lambda: _remove(made))
    st.rerun()


@st.dialog("Correct the text", width="large")
@guarded
def correct_dialog(text: DocumentText, span: Span) -> None:
    before = text.text[span[0] : span[1]]
    with st.form("correct", border=False):
        after = st.text_area("The text as it should be", value=before, height=300)
        st.caption("Only chunks whose text changes are embedded again. Marks move with the text.")
        submitted = st.form_submit_button("Save correction", type="primary", icon=":material/save:")
    if not submitted:
        return
    with connect() as conn:
        revision = correct_text(conn, text.document_id, text.revision, *span, after)
    if revision == text.revision:
        st.caption("That is what it says already.")
        return

    def take_back() -> None:
        with connect() as conn:
            restore_revision(conn, text.document_id, text.revision)

    offer_undo("The text was corrected; the changed chunks are embedded again.", take_back)
    st.query_params.from_dict(
        {"document": str(text.document_id), "start": str(span[0]), "end": str(span[0] + len(after))}
    )
    st.rerun()


def language_picker(document: DocumentRow, *, disabled: bool) -> None:
    """The detected language; picking another one corrects it, with a way back."""
    codes = list(LANGUAGES)
    if document.language and document.language not in LANGUAGES:
        codes.append(document.language)
    picked = st.selectbox(
        "Language",
        codes,
        index=codes.index(document.language) if document.language else None,
        format_func=language_name,
        placeholder="Unknown",
        key=f"language-{document.id}-{document.language}",
        help="Detected. It decides how words are matched; pick another one if it is wrong.",
        disabled=disabled,
        width=200,
    )
    if picked is None or picked == document.language or disabled:
        return
    before, words = document.language, f"The language is {language_name(picked)} now."
    with connect() as conn:
        set_language(conn, document.id, picked)

    def take_back() -> None:
        with connect() as conn:
            set_language(conn, document.id, str(before))

    if before is None:
        notify(words)
    else:
        offer_undo(words, take_back)
    st.rerun()
