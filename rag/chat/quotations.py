"""A citation as it was when its answer was written, and where its words are now. ``conn`` runs as the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from rag.corpus.corrections import find_edits, move_span
from rag.corpus.texts import read_text
from rag.errors import NotFound

#: ``same``: the text wasn't corrected since, or not there. ``moved``: the words are at another place. ``changed``: what
#: is in their place says something else. ``removed``: nothing is in their place. ``gone``: there is no document any
#: more, or the viewer may not open it.
Since = Literal["same", "moved", "changed", "removed", "gone"]


@dataclass(frozen=True, slots=True)
class Quotation:
    """The words ``quote`` at ``start``:``end`` of revision ``text_revision``, in passage ``number`` of an answer.

    ``passage`` is the text that was retrieved, from ``passage_start`` on. ``chat_id`` is the conversation.
    """

    chat_id: UUID
    message_id: UUID
    ordinal: int
    number: int
    document_id: UUID | None
    document: str
    title: str | None
    text_revision: int
    page: int | None
    start: int
    end: int
    quote: str
    passage: str
    passage_start: int


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What became of quoted words; ``span`` is where they, or what is in their place, are in revision ``revision``."""

    since: Since
    span: tuple[int, int] | None = None
    revision: int | None = None


def read_quotation(conn: Connection[Any], message_id: UUID, ordinal: int) -> Quotation:
    """The ``ordinal``-th citation of an answer; :class:`NotFound` when the person can't see it."""
    with conn.cursor(row_factory=class_row(Quotation)) as cursor:
        found = cursor.execute(
            """
            select m.chat_id, c.message_id, c.ordinal, c.number, p.document_id, p.document_name as document, p.title,
                   p.text_revision, p.page, c.start_char as start, c.end_char as "end", c.quote, p.text as passage,
                   p.start_char as passage_start
            from public.citations c join public.passages p using (message_id, number)
            join public.messages m on m.id = c.message_id
            where c.message_id = %s and c.ordinal = %s
            """,
            [message_id, ordinal],
        ).fetchone()
    if found is None:
        raise NotFound("That citation doesn't exist any more, or it isn't yours.")
    return found


def find_quotation(conn: Connection[Any], quotation: Quotation) -> Whereabouts:
    """Where the quoted words are now, following the corrections since."""
    if quotation.document_id is None:
        return Whereabouts("gone")
    try:
        now = read_text(conn, quotation.document_id)
        if now.revision == quotation.text_revision:
            return Whereabouts("same", (quotation.start, quotation.end), now.revision)
        then = read_text(conn, quotation.document_id, quotation.text_revision)
    except NotFound:
        return Whereabouts("gone")
    span = move_span(quotation.start, quotation.end, find_edits(then.text, now.text))
    if span is None or now.text[slice(*span)] != quotation.quote:
        span = _elsewhere(now.text, quotation) or span
    if span is None:
        return Whereabouts("removed", None, now.revision)
    if now.text[slice(*span)] != quotation.quote:
        return Whereabouts("changed", span, now.revision)
    return Whereabouts("same" if span[0] == quotation.start else "moved", span, now.revision)


def _elsewhere(text: str, quotation: Quotation) -> tuple[int, int] | None:
    """The same words where they stand once and are long enough not to be there by chance."""
    at = text.find(quotation.quote)
    if at < 0 or len(quotation.quote) < 20 or text.find(quotation.quote, at + 1) >= 0:
        return None
    return at, at + len(quotation.quote)
