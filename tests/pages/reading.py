"""What a page says, as text to search in."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def texts(app: AppTest) -> str:
    """All Markdown, captions, headings, HTML and messages of the page, in one string."""
    found: list[str] = []
    for kind in ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error", "success", "html"):
        found += [str(getattr(element, "value", None) or element.proto.body) for element in app.get(kind)]
    return "\n".join(found)
