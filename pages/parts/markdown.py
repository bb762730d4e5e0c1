"""Answers as Markdown: a last look that nothing is fetched, and markers that open their source.

The worker's filter has escaped what is not ours already (``rag.chat.citing``, ``rag.chat.markup``). The same again
here costs little, and an answer may come from a client that wrote to the tables without that filter.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_CODE = re.compile(r"((?:^|\n)(?:```|~~~).*?(?:\n(?:```|~~~)|\Z)|`+[^`\n]+`+)", re.DOTALL)
_IMAGE = re.compile(r"(?<!\\)!\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])?")
_LINK = re.compile(r"(?<!\\)\[([^\]]*)(?<!\\)\]\(([^()\s]*(?:\([^()]*\)[^()\s]*)*)(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
_REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:[ \t]*\S+.*$", re.MULTILINE)
_ADDRESS = re.compile(r"<?\b(?:https?://|ftp://|www\.)[^\s<>`\])]+>?", re.IGNORECASE)
_MARKER = re.compile(r"(?<!\\)\[(\d{1,4})\]")


def sanitise(text: str) -> str:
    """``text`` without images, links and HTML: an image becomes its description, a link its words and its address."""

    def clean(part: str) -> str:
        part = _REFERENCE.sub("", part)
        part = _IMAGE.sub(lambda found: f"({found[1] or 'picture'})", part)
        return _LINK.sub(lambda found: f"{found[1]} (`{found[2]}`)" if found[2] else found[1], part)

    text = _outside_code(text, clean)
    text = _outside_code(text, lambda part: _ADDRESS.sub(lambda found: f"`{found[0].strip('<>')}`", part))
    return _outside_code(text, _quiet)


def link_markers(text: str, address: Callable[[int, int], str | None]) -> str:
    """Each ``[2]`` outside code becomes a link; ``address(position, number)`` says where to, None leaves it a text.

    ``position`` counts the markers from 0. Call it after :func:`sanitise`: these links are ours.
    """
    seen = 0

    def link(found: re.Match[str]) -> str:
        nonlocal seen
        target = address(seen, int(found[1]))
        seen += 1
        return f"[\\[{found[1]}\\]]({target})" if target else f"\\[{found[1]}\\]"

    return _outside_code(text, lambda part: _MARKER.sub(link, part))


def _quiet(part: str) -> str:
    """HTML, formulas and Streamlit's own directives shown as what they are."""
    part = re.sub(r"(?<!\\)([<$])", r"\\\1", part)
    return re.sub(r"(?<!\\):(?=[a-z_-]+(?:\[|/|:))", r"\\:", part)


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    parts = _CODE.split(text)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))
