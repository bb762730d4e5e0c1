"""Which document of a collection a file of judgements means, and where in its text a passage stands."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import args_row

from rag.evaluation.phrases import find_phrase
from rag.evaluation.set_rows import ReadDocument, ReadJudgement
from rag.reading.textfiles import clean

_TEXTS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class KnownDocument:
    """A document of the collection; ``revision`` 0 has no text yet."""

    id: UUID
    name: str
    title: str | None
    revision: int


class Catalogue:
    """The documents of a collection by id, name, name without extension, and title; and by text where that is asked."""

    def __init__(self, documents: Sequence[KnownDocument]) -> None:
        self._by_id = {str(document.id): document for document in documents}
        self._names: list[dict[str, list[KnownDocument]]] = [defaultdict(list) for _ in range(3)]
        for document in documents:
            for names, key in zip(
                self._names, (document.name, PurePath(document.name).stem, document.title), strict=True
            ):
                if key:
                    names[_plain(key)].append(document)
        self.by_digest: dict[str, KnownDocument] = {}

    def get(self, id_: UUID) -> KnownDocument:
        """The document of that id."""
        return self._by_id[str(id_)]

    def find(self, said: str) -> list[KnownDocument]:
        """The documents that ``said`` may mean: one, none, or several of the same name."""
        if document := self._by_id.get(said.strip().lower()):
            return [document]
        key = _plain(said)
        return next((names[key] for names in self._names if key in names), [])

    def find_alike(self, document: ReadDocument) -> list[KnownDocument]:
        """The documents that are this one of a corpus file: by its text, else by its id, else by its title."""
        twin = next((self.by_digest[digest] for digest in digests(document.text) if digest in self.by_digest), None)
        if twin is not None:
            return [twin]
        return self.find(document.id) or (self.find(document.title) if document.title.strip() else [])


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def digests(text: str) -> list[str]:
    """MD5 of the text as it would be stored, with and without spaces around it."""
    stored = clean(text)
    return [hashlib.md5(form.encode(), usedforsecurity=False).hexdigest() for form in (stored, stored.strip())]


def read_catalogue(conn: psycopg.Connection[Any], collection_id: UUID, corpus: Mapping[str, ReadDocument]) -> Catalogue:
    """All documents of the collection, and which of them have the very text of one of ``corpus``."""
    with conn.cursor(row_factory=args_row(KnownDocument)) as cursor:
        found = Catalogue(
            cursor.execute(
                "select id, name, title, text_revision from public.documents where collection_id = %s order by id",
                [collection_id],
            ).fetchall()
        )
    if corpus:
        lengths = {
            n for document in corpus.values() for n in (len(clean(document.text)), len(clean(document.text).strip()))
        }
        rows = conn.execute(
            """
            select md5(t.text), d.id from public.documents d
            join public.document_texts t on t.document_id = d.id and t.revision = d.text_revision
            where d.collection_id = %s and d.char_count = any (%s) order by d.created_at desc
            """,
            [collection_id, sorted(lengths)],
        )
        found.by_digest = {digest: found.get(id_) for digest, id_ in rows}
    return found


def read_texts(conn: psycopg.Connection[Any], document_ids: Sequence[UUID]) -> Iterator[tuple[UUID, str]]:
    """The current texts of these documents, a few in memory at a time."""
    for start in range(0, len(document_ids), _TEXTS_AT_ONCE):
        yield from conn.execute(
            """
            select t.document_id, t.text from public.documents d
            join public.document_texts t on t.document_id = d.id and t.revision = d.text_revision
            where d.id = any (%s)
            """,
            [list(document_ids[start : start + _TEXTS_AT_ONCE])],
        ).fetchall()


def locate(text: str, judged: ReadJudgement, corpus: ReadDocument | None) -> tuple[int, int] | str:
    """The span of the passage in ``text``, or why there is none.

    A phrase counts more than offsets: these may be of another text. Offsets alone are of the file's own document
    where ``corpus`` has it, else of ``text``.
    """
    phrase, start, end = judged.phrase, judged.start, judged.end
    if not phrase and corpus is not None and start is not None and end is not None:
        phrase = corpus.text[start:end]
        if not phrase.strip():
            return f"the document in the file has {len(corpus.text):,} characters: {start} to {end} is no passage of it"
    if phrase:
        if start is not None and end is not None and text[start:end] == phrase:
            return start, end
        return find_phrase(text, clean(phrase), start or 0) or f"“{_short(phrase)}” is not in the document's text"
    assert start is not None
    assert end is not None
    if end > len(text):
        return f"the document's text has {len(text):,} characters: {start} to {end} is no part of it"
    return start, end


def _short(phrase: str) -> str:
    words = " ".join(phrase.split())
    return words if len(words) <= 60 else words[:57] + "…"
