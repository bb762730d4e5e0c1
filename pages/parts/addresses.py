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
