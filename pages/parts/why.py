"""“Why isn't it here?”: choose a document or paste a phrase, and see which stage of the search lost it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import streamlit as st

from pages.parts.downloads import file_name, handing_out, to_csv
from pages.parts.session import connect
from pages.parts.why_chain import OnFix, show_explanation
from pages.parts.words import plain, show_error
from rag.corpus.documents import list_documents
from rag.errors import CorpuscopeError
from rag.records import Collection, DocumentRow
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.trace_records import Explanation
from rag.retrieval.trace_words import COLUMNS, as_rows, as_text
from rag.retrieval.tracing import explain

#: Parameters of the address: the document's id, and the phrase.
DOCUMENT, PHRASE = "why", "phrase"
_DOCUMENT_KEY, _PHRASE_KEY = "why_document", "why_phrase"
_PICKED = "why_picked"
_MAX_PHRASE = 2000


def why_not(
    collection: Collection,
    question: str,
    vector: Any,
    profile: RetrievalProfile,
    index_id: int | None = None,
    *,
    documents: Sequence[UUID] | None = None,
    scope: int | None = None,
    rows: Sequence[DocumentRow] | None = None,
    on_fix: OnFix | None = None,
) -> None:
    """Asks for a document or a phrase and draws its way through the search of ``question``.

    ``vector``, ``profile``, ``index_id``, ``documents`` and ``scope`` are what was searched with. ``rows`` are the
    collection's documents, where they are known already. ``on_fix`` is a callback that changes the profile by the
    settings it gets.
    """
    if rows is None:
        with connect() as conn:
            rows = list_documents(conn, collection.id)
    document_id, phrase = _choose(collection, rows)
    if document_id is None and not phrase:
        st.caption("Choose a document that you miss, or paste some words of it.")
        return
    try:
        explanation = explain(
            connect,
            collection.id,
            question,
            vector,
            profile,
            document_id=document_id,
            phrase=phrase or None,
            documents=documents,
            index_id=index_id,
            scope=scope,
        )
    except CorpuscopeError as error:
        show_error(error)
        return
    show_explanation(explanation, on_fix)
    _downloads(collection, explanation)


def _choose(collection: Collection, rows: Sequence[DocumentRow]) -> tuple[UUID | None, str]:
    names = {str(row.id): row.name for row in rows}
    _take_up(collection, names)
    with st.container(horizontal=True, vertical_alignment="bottom", key="why-choice"):
        st.selectbox(
            "Document",
            list(names),
            index=None,
            format_func=lambda key: names.get(key, key),
            key=_DOCUMENT_KEY,
            placeholder="Type a part of its name",
            on_change=_remember,
        )
        st.text_input(
            "Phrase",
            key=_PHRASE_KEY,
            placeholder="Words that it should contain",
            max_chars=_MAX_PHRASE,
            on_change=_remember,
            help="Line breaks, hyphens, quotation marks and capitals don't matter. "
            "Without a document, all of the collection is looked through.",
        )
    if (strange := st.session_state.get(_PICKED)) and strange not in names:
        st.caption(
            f"The address asks for a document that isn't in {plain(collection.name)}. Choose one above to see another."
        )
        return UUID(strange), st.session_state[_PHRASE_KEY].strip()
    chosen = st.session_state[_DOCUMENT_KEY]
    return UUID(chosen) if chosen else None, st.session_state[_PHRASE_KEY].strip()


def _take_up(collection: Collection, names: dict[str, str]) -> None:
    """The address decides at first, and when somebody follows a link; what is chosen here goes into the address."""
    wanted = _id_in_address(), st.query_params.get(PHRASE, "")[:_MAX_PHRASE]
    if st.session_state.get("why_address") != (collection.id, wanted):
        st.session_state["why_address"] = collection.id, wanted
        st.session_state[_PICKED] = wanted[0]
        st.session_state[_DOCUMENT_KEY] = wanted[0] if wanted[0] in names else None
        st.session_state[_PHRASE_KEY] = wanted[1]
    st.session_state.setdefault(_PHRASE_KEY, "")
    if st.session_state.get(_DOCUMENT_KEY) not in names:
        st.session_state[_DOCUMENT_KEY] = None


def _id_in_address() -> str | None:
    try:
        return str(UUID(st.query_params[DOCUMENT]))
    except (KeyError, ValueError):
        return None


def _remember() -> None:
    st.session_state[_PICKED] = None
    for name, value in ((DOCUMENT, st.session_state[_DOCUMENT_KEY]), (PHRASE, st.session_state[_PHRASE_KEY].strip())):
        if value:
            st.query_params[name] = value
        else:
            st.query_params.pop(name, None)


def _downloads(collection: Collection, explanation: Explanation) -> None:
    made: dict[str, tuple[str, str, Callable[[], bytes]]] = {
        "CSV": ("csv", "text/csv", lambda: to_csv(as_rows(explanation), COLUMNS)),
        "Text": ("txt", "text/plain", lambda: as_text(explanation).encode()),
    }
    with st.container(horizontal=True, key="why-downloads"):
        for label, (extension, media_type, make) in made.items():
            st.download_button(
                label,
                handing_out(
                    collection.id,
                    f"why {explanation.wanted[:80]} isn't found",
                    lambda conn, make=make: make(),  # type: ignore[misc]
                    rows=len(explanation.stages),
                ),
                file_name=file_name(collection.name, "why", explanation.wanted[:40], extension=extension),
                mime=media_type,
                icon=":material/download:",
                type="tertiary",
                on_click="ignore",
                key=f"why_{extension}",
                help="This explanation as a file",
            )
