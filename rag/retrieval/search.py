"""Searching a collection: one call of ``search_chunks()`` under the rights of whoever the transaction belongs to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector import HalfVector
from psycopg import Connection
from psycopg.rows import args_row, class_row
from psycopg.types.json import Jsonb

from rag.errors import InvalidInput, NotFound
from rag.records import ChunkRow, Hit
from rag.retrieval.profiles import RetrievalProfile

Span = tuple[int, int]
Vector = NDArray[np.float32] | Sequence[float] | HalfVector

#: Hits, from the best on, among which diversity chooses; corpuscope.diversify() says the same.
DIVERSITY_POOL = 64
#: Longer questions are cut off by any model, and serve nobody.
MAX_QUESTION = 8000

#: In the order of the fields of a hit, which are filled by their places.
_HIT_COLUMNS = (
    "rank, chunk_id, document_id, document, title, text_revision, page, start_char as start, end_char as end,"
    " heading_path, text, similarity, lexical, score, dense_rank, lexical_rank, matched,"
    " fused_rank"
)
#: The vector travels in binary (%b), as the pools of Database know it: as text it costs a fifth of a millisecond.
_SEARCH = (
    f"select {_HIT_COLUMNS} from public.search_chunks(%s, %s, %b::extensions.halfvec, %s, %s, %s, %s) order by rank"
)
_CHUNK_COLUMNS = (
    "c.id, c.ordinal, c.start_char as start, c.end_char as end, c.page, c.heading_path, c.text, c.token_count,"
    " c.excluded, exists (select from public.embeddings e where e.chunk_id = c.id) as embedded"
)
#: Letters and digits with the marks on them: many vowels of Indic scripts are marks, which are not in \w.
_MARKS = "".join(chr(code) for code in range(0x300, 0x1E00) if unicodedata.category(chr(code)).startswith("M"))
_WORD = re.compile(rf"(?:[^\W_]|[{_MARKS}])+")
#: Blocks of the scripts that corpuscope.split_pairs() indexes by pairs: Thai, Lao, Burmese, Khmer, kana, Han, Hangul.
_UNSPACED = re.compile(
    "[\u0e01-\u0ede\u1000-\u1059\u1780-\u17dd\u3005-\u30ff\u31f0-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]"
)


def search(
    conn: Connection[Any],
    collection_id: UUID,
    question: str,
    vector: Vector | None,
    profile: RetrievalProfile,
    documents: Sequence[UUID] | None = None,
    index_id: int | None = None,
    scope: int | None = None,
) -> list[Hit]:
    """The best chunks for the question, best first; ``documents`` and a ``scope``'s id restrict them to these.

    ``vector`` is the question under the model of the index searched, ``index_id`` or else the collection's active one;
    only a lexical search goes without. The profile's reranker is left out of account:
    :func:`rag.retrieval.retrieving.retrieve` is the whole. Raises :class:`InvalidInput` for a question or vector that
    can't be searched, :class:`NotFound` without access to the collection or the scope.
    """
    question = plain_question(question)
    chosen = None if documents is None else list(documents)
    with conn.cursor(row_factory=args_row(Hit)) as cursor:
        try:
            return cursor.execute(
                _SEARCH,
                (collection_id, question, _half(vector), Jsonb(profile.to_json()), chosen, index_id, scope),
            ).fetchall()
        except psycopg.errors.NoDataFound as error:
            raise NotFound(error.diag.message_primary) from error
        except psycopg.errors.RaiseException as error:
            raise InvalidInput(error.diag.message_primary) from error


def diversify(
    conn: Connection[Any], chunks: Sequence[int], relevance: Sequence[float], diversity: float, take: int
) -> list[int]:
    """Places in ``chunks`` (from 0) of the first ``take`` after maximal marginal relevance, as a search does it.

    ``relevance`` is in whatever unit; of ``chunks``, which come best first, only the first 64 change places.
    """
    row = conn.execute(
        "select corpuscope.diversify(%s::bigint[], %s::float8[], %s, %s)",
        (list(chunks), list(relevance), diversity, take),
    ).fetchone()
    return [place - 1 for place in row[0]] if row is not None else []


def neighbours(conn: Connection[Any], chunk_id: int, before: int = 1, after: int = 1) -> list[ChunkRow]:
    """The chunks around this one in its document, itself included, in document order."""
    with conn.cursor(row_factory=class_row(ChunkRow)) as cursor:
        rows = cursor.execute(
            f"select {_CHUNK_COLUMNS} from public.chunks middle join public.chunks c"
            " on (c.index_id, c.document_id) = (middle.index_id, middle.document_id)"
            " and c.ordinal between middle.ordinal - %s and middle.ordinal + %s"
            " where middle.id = %s order by c.ordinal",
            (before, after, chunk_id),
        ).fetchall()
    if not rows:
        raise NotFound("That passage is gone: its document was changed or deleted.", hint="Search again.")
    return rows


def question_lexemes(conn: Connection[Any], question: str, languages: Sequence[str | None]) -> list[str]:
    """What a question is looked up by in documents of these languages (ISO 639): for marks where no leg was lexical."""
    rows = conn.execute(
        "select distinct a.lexeme from unnest(%s::text[]) l (language),"
        " lateral corpuscope.analyze_text(%s, l.language) a order by 1",
        (list(languages), plain_question(question)),
    )
    return [row[0] for row in rows]


def mark_matches(conn: Connection[Any], text: str, lexemes: Sequence[str], language: str | None = None) -> list[Span]:
    """Spans (code points, end exclusive) of the words of ``text`` that have one of these lexemes, e.g. ``Hit.matched``.

    ``language`` is the document's: "flies" is marked for "fli" where it is English.
    """
    words = sorted({match.group() for match in _WORD.finditer(text)})
    row = conn.execute(
        "select corpuscope.matching_words(%s::text[], %s, %s::text[])", (words, language, list(lexemes))
    ).fetchone()
    marked = set(row[0]) if row is not None else set()
    spans = [
        match.span() for match in _WORD.finditer(text) if match.group() in marked and not _is_unspaced(match.group())
    ]
    # Scripts without spaces match by pairs of characters: the pair is marked, not the whole run of text. Single
    # characters are marked where nothing longer is.
    unspaced = [lexeme for lexeme in lexemes if _is_unspaced(lexeme)]
    pairs = list(_occurrences(text, [lexeme for lexeme in unspaced if len(lexeme) > 1]))
    return _merge([*spans, *(pairs or _occurrences(text, unspaced))])


def _occurrences(text: str, pieces: Sequence[str]) -> Iterator[Span]:
    """Where these pieces stand in the text after NFKC, as spans of the text before it."""
    folded, origins = [], []
    for position, character in enumerate(text):
        form = unicodedata.normalize("NFKC", character)
        folded.append(form)
        origins.extend([position] * len(form))
    normal = "".join(folded)
    for piece in pieces:
        start = normal.find(piece)
        while start >= 0:
            yield origins[start], origins[start + len(piece) - 1] + 1
            start = normal.find(piece, start + 1)


def _merge(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _is_unspaced(word: str) -> bool:
    return _UNSPACED.search(word) is not None


def plain_question(question: str) -> str:
    """Without NUL, which Postgres refuses, and lone halves of surrogate pairs, which UTF-8 can't hold."""
    plain = question.replace("\x00", " ").encode("utf-8", "ignore").decode("utf-8").strip()
    if not plain:
        raise InvalidInput("Type a question first.")
    if len(plain) > MAX_QUESTION:
        raise InvalidInput(f"A question has at most {MAX_QUESTION:,} characters.", hint="Ask for less at once.")
    return plain


def _half(vector: Vector | None) -> HalfVector | None:
    return vector if vector is None or isinstance(vector, HalfVector) else HalfVector(np.asarray(vector, np.float32))
