"""How far an answer's sentences are backed: a quiet dotted line in the text, and beside the sources what it means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import streamlit as st

from pages.parts.words import count, plain
from rag.chat.chat_records import Message, SentenceSupport

#: Noncharacters stand for the marks until everything else of the text has been made safe.
_OPEN, _OPEN_STRONG, _CLOSE = "\ufdd0", "\ufdd1", "\ufdd2"
_RESERVED = re.compile(f"[{_OPEN}{_OPEN_STRONG}{_CLOSE}]")
_SIGNS = re.compile(r"(?<![\\*])\*+|(?<![\\`])`+")
_MARKER = re.compile(r"\[\d{1,4}\]")
_MOST_SHOWN = 12

_MEANING = {
    "unsupported": "not backed by what it cites",
    "weak": "weakly backed by what it cites",
    "uncited": "cites nothing",
}
_METHOD = (
    "Each sentence is held against the sentences of the passages that it cites: the words that they share (a fifth of "
    "the score) and the likeness of their embeddings. Figures that no cited passage has count against it, and so do "
    "names, and a “not” that only one of the two has. It errs: a free paraphrase may look weak, and what is wrong in "
    "the words of its passage may look right."
)


def support_of(message: Message) -> list[SentenceSupport]:
    """What there is to say; nothing of answers that are quotes from end to end."""
    return [] if message.kind == "extractive" else message.support


def mark_support(content: str, support: Sequence[SentenceSupport]) -> str:
    """``content`` with the places of the marks noted; to be followed by :func:`put_marks`."""
    content = _RESERVED.sub("\ufffd", content)
    for found in sorted(support, key=lambda found: -found.start):
        opens = content[found.end : found.end + 1] in tuple("({[:")  # what would become part of the mark
        if found.verdict != "supported" and not opens and _can_be_marked(content[found.start : found.end]):
            sign = _OPEN_STRONG if found.verdict == "unsupported" else _OPEN
            sentence = content[found.start : found.end]
            content = f"{content[: found.start]}{sign}{sentence}{_CLOSE}{content[found.end :]}"
    return content


def put_marks(text: str) -> str:
    """The noted marks as Markdown. Their colours are undone by the style sheet, which draws a line instead."""
    text = text.replace(_OPEN_STRONG, ":orange-background[").replace(_OPEN, ":gray[")
    return text.replace(_CLOSE, "]")


def support_note(message: Message) -> None:
    """How many sentences are backed; opened, which are not, why, and how that was found out."""
    support = support_of(message)
    if not support:
        return
    total = len(support)
    backed = sum(found.verdict == "supported" for found in support)
    icon = ":material/check:" if backed == total else ":material/rule:"
    label = f"{backed} of {count(total, 'sentence')} backed" if total > 1 or not backed else "Backed"
    with st.popover(label, icon=icon, type="tertiary", key=f"support-{message.id}"):
        doubtful = [found for found in support if found.verdict != "supported"]
        if not doubtful:
            st.markdown("The passages that they cite back all sentences of this answer.")
        for found in doubtful[:_MOST_SHOWN]:
            _doubt(message.content, found)
        if len(doubtful) > _MOST_SHOWN:
            st.caption(f"and {count(len(doubtful) - _MOST_SHOWN, 'sentence')} more")
        st.caption(_METHOD)


def _doubt(content: str, found: SentenceSupport) -> None:
    sentence = " ".join(content[found.start : found.end].split())
    shown = sentence if len(sentence) <= 240 else f"{sentence[:220]} …"
    st.markdown(f"“{plain(shown)}”")
    said = [f"**{_MEANING[found.verdict].capitalize()}**"]
    if found.missing and found.verdict != "uncited":
        said.append(f"not there: {plain(', '.join(found.missing[:6]))}")
    said.append(f"{found.lexical:.0%} of its words shared")
    if found.similarity is not None:
        said.append(f"likeness {found.similarity:.2f}")
    st.caption(" · ".join(said))


def _can_be_marked(sentence: str) -> bool:
    """A mark may not part what belongs together: emphasis, code, cells of a table, paragraphs.

    Nor may it hold a bracket of the model's: with the mark's own, ``:gray[… \\[a](address)`` would become a link.
    """
    if re.search(r"[\[\]]", _MARKER.sub("", sentence)):
        return False
    signs = Counter(_SIGNS.findall(sentence))
    balanced = all(number % 2 == 0 for number in signs.values())
    return balanced and "\n\n" not in sentence and "|" not in sentence and bool(sentence.strip())
