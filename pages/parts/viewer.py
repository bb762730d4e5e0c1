"""The text of a document as a component: shows segments, and says which span a person selected."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent
_HTML = """
<div class="cs-doc" tabindex="0" role="document" aria-label="Text of the document"></div>
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "corpuscope_viewer",
        html=_HTML,
        css=_HERE.joinpath("viewer.css").read_text(),
        js=_HERE.joinpath("viewer.js").read_text(),
        isolate_styles=False,
    )


def show_text(segments: list[dict[str, Any]], *, key: str, on_select: Callable[[str], None]) -> None:
    """Draw ``segments`` (see ``reading.cut_segments``), scrolled to their focus.

    ``on_select`` is a callback that gets ``key``; ``selected_span(key)`` tells it what was selected.
    """
    version = hashlib.sha256(repr(segments).encode()).hexdigest()[:16]
    _component()(
        key=key,
        data={"segments": segments, "version": version},
        on_selected_change=lambda: on_select(key),
        height="content",
    )


def selected_span(key: str) -> tuple[int, int] | None:
    """The span of the latest selection, None when it was undone; only within the ``on_select`` callback."""
    value = st.session_state.get(key, {}).get("selected")
    if not isinstance(value, dict):
        return None
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start < end:
        return None
    return start, end
