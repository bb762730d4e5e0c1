"""Markdown that shows foreign text as text: no HTML, images or links come of it."""

from __future__ import annotations

import html
import re

#: What GitHub-flavoured Markdown turns into a link without any brackets. Escapes don't prevent that, code does.
LINK = re.compile(r"(?:https?://|www\.)[^\s<>`]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
_ALWAYS = re.compile(r"([\\`*_\[\]<|~$])")
_ENTITY = re.compile(r"&(?=#?\w{1,32};)")
_LINE_START = re.compile(r"^(?:([-+>#=])|(\d{1,9})([.)]))")
_RENDERED = re.compile(r"(?<!`)(?P<run>`+)(?!`) ?(?P<code>[^\n]+?) ?(?P=run)(?!`)|\\(?P<kept>[!-/:-@\[-`{-~])")


def escape(text: str) -> str:
    """Markdown that shows ``text`` on one line as it stands; white space is collapsed."""
    line = " ".join(text.split())
    parts, at = [], 0
    for link in LINK.finditer(line):
        parts += [_escape_plain(line[at : link.start()]), code(link.group())]
        at = link.end()
    escaped = "".join([*parts, _escape_plain(line[at:])])
    return _LINE_START.sub(lambda start: f"\\{start[1]}" if start[1] else f"{start[2]}\\{start[3]}", escaped)


def code(text: str) -> str:
    """A code span that holds ``text`` whatever backticks are in it; white space is collapsed."""
    line = " ".join(text.split())
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    if not longest:
        return f"`{line}`"
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}"


def plain(markdown: str) -> str:
    """Our answers' Markdown as plain text for a terminal: escapes, entities and quote marks undone."""
    return html.unescape(_RENDERED.sub(lambda found: found["code"] or found["kept"] or "", markdown))


def _escape_plain(text: str) -> str:
    return _ENTITY.sub("&amp;", _ALWAYS.sub(r"\\\1", text))
