"""What became of an answer's passages since: "why did it say that?" asked after the documents have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

State = Literal["same", "moved", "changed", "excluded", "deleted"]


@dataclass(frozen=True, slots=True)
class PassageNow:
    """A passage of an answer as its document is now.

    ``same``: the document has these very words at this place. ``moved``: it has them elsewhere, at ``start``.
    ``changed``: it has not. ``excluded``: it has them, but some of them are left out of search. ``deleted``: the
    document is gone, or isn't shared with the reader any more.
    """

    number: int
    state: State
    start: int | None


def compare_passages(conn: Connection[Any], message_id: UUID) -> list[PassageNow]:
    """The state of each passage of that answer, by number. ``conn`` runs as the reader."""
    with conn.cursor(row_factory=class_row(PassageNow)) as cursor:
        return cursor.execute(
            """
            select p.number,
                case
                    when d.id is null or d.trashed_at is not null or t.text is null then 'deleted'
                    when f.at is null then 'changed'
                    when f.left_out then 'excluded'
                    when f.at <> p.start_char then 'moved'
                    else 'same'
                end as state,
                f.at as start
            from public.passages p
            left join public.documents d on d.id = p.document_id
            left join public.document_texts t on t.document_id = d.id and t.revision = d.text_revision
            left join lateral (
                select w.at, exists (
                    select from public.span_marks m
                    where m.document_id = d.id and m.kind = 'exclusion'
                      and m.start_char < w.at + length(p.text) and m.end_char > w.at
                ) as left_out
                from (
                    select case
                        when substr(t.text, p.start_char + 1, length(p.text)) = p.text then p.start_char
                        else nullif(strpos(t.text, p.text), 0) - 1
                    end as at
                ) w
            ) f on true
            where p.message_id = %s order by p.number
            """,
            [message_id],
        ).fetchall()


def summarise_changes(passages: Sequence[PassageNow]) -> str:
    """One sentence on all of them; empty for an answer without passages."""
    if not passages:
        return ""
    if all(one.state == "same" for one in passages):
        return "The documents still say all of this, word for word, where they said it."
    words = {
        "moved": "stands elsewhere in its document now",
        "changed": "doesn't stand in its document any more",
        "excluded": "was left out of search since",
        "deleted": "is of a document that is gone or not shared any more",
    }
    said = [
        f"{len(numbers)} {meaning}" if len(numbers) > 1 else f"[{numbers[0]}] {meaning}"
        for state, meaning in words.items()
        if (numbers := [one.number for one in passages if one.state == state])
    ]
    return "Since this answer was made: " + "; ".join(said) + "."
