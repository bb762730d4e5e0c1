"""Links into the app: which page, which document, which span. What comes in an address is checked here too."""

from __future__ import annotations

from urllib.parse import urlencode
from uuid import UUID

import streamlit as st


def span_query(document_id: UUID, start: int | None = None, end: int | None = None) -> dict[str, str]:
    """The query parameters that open a document, at a span if one is given."""
    query = {"document": str(document_id)}
    if start is not None and end is not None:
        query |= {"start": str(start), "end": str(end)}
    return query


def span_address(document_id: UUID, start: int, end: int) -> str:
    """The same as an address within the app."""
    return f"/document?{urlencode(span_query(document_id, start, end))}"


def citation_query(message_id: UUID, ordinal: int, document_id: UUID | None, start: int, end: int) -> dict[str, str]:
    """The query parameters that open what an answer cites, or what is left of it once its document is gone."""
    query = {} if document_id is None else span_query(document_id, start, end)
    return query | {"citation": f"{message_id}.{ordinal}"}


def citation_address(message_id: UUID, ordinal: int, document_id: UUID | None, start: int, end: int) -> str:
    """The same as an address within the app."""
    return f"/document?{urlencode(citation_query(message_id, ordinal, document_id, start, end))}"


def read_citation() -> tuple[UUID, int] | None:
    """``citation`` of the address: the answer and which of its citations; None when it is missing or none."""
    message, _, ordinal = st.query_params.get("citation", "").partition(".")
    try:
        return UUID(message), int(ordinal[:9])
    except ValueError:
        return None


def read_uuid(name: str) -> UUID | None:
    """A query parameter as an id; None when it is missing or none."""
    try:
        return UUID(st.query_params[name])
    except (KeyError, ValueError):
        return None


def read_span(length: int) -> tuple[int, int] | None:
    """``start`` and ``end`` of the address, cut to a text of ``length`` characters; None when they name nothing."""
    try:
        start, end = int(st.query_params["start"]), int(st.query_params["end"])
    except (KeyError, ValueError):
        return None
    start, end = max(0, start), min(end, length)
    return (start, end) if start < end else None
