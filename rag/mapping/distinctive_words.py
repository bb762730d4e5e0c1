"""What tells some texts of an index from the rest, in words as people write them. ``conn`` as the person who asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from psycopg import Connection

from rag.chat.sentences import same_word
from rag.mapping.terms import TermReader, Words
from rag.mapping.word_table import WordTable

#: So many texts of a selection are read, and as many of the rest: more change the words little.
SAMPLE = 250
#: Two words that are a pair in so much of the texts that have the rarer of them, and in so much that have the other.
_PAIR_OF_RARER, _PAIR_OF_COMMONER = 0.5, 0.35
#: A name has a first word when so much of its mentions have it.
_NAMED = 0.6
#: A run of characters stands for a shorter one in it that it is nearly always around.
_AROUND = 0.7

_TEXTS = "select id, text, language from public.chunks where id = any (%b::bigint[]) and index_id = %s"
_COUNTS = (
    "select document_id, chunk_count from public.index_documents where index_id = %s and chunk_count > 0 order by 1"
)
_DRAWN = """
    select c.id, c.text, c.language from unnest(%b::uuid[], %b::int[]) as drawn (document_id, ordinal)
    join public.chunks c on c.index_id = %s and c.document_id = drawn.document_id and c.ordinal = drawn.ordinal
"""


class Term(NamedTuple):
    """A word or two as they are written, with the c-TF-IDF of the more telling one; ``keys`` are their stems."""

    text: str
    score: float
    keys: tuple[str, ...]


def distinctive(
    conn: Connection[Any],
    index_id: int,
    chunk_ids: Sequence[int],
    against: Sequence[int] | None = None,
    limit: int = 12,
) -> list[tuple[str, float]]:
    """Words that are frequent in these chunks and not in others of the index, or not in ``against``; best first.

    Scores are c-TF-IDF, to be compared within one answer. Of many chunks some are read, always the same ones. Chunks
    that one may not see count as none.
    """
    chosen = _read(conn, index_id, _some(chunk_ids))
    if against is None:
        mine = set(chunk_ids)
        rest = [row for row in _draw(conn, index_id) if row[0] not in mine]
    else:
        rest = _read(conn, index_id, _some(against))
    reader = TermReader()
    classes = [[reader.read(text, language) for _, text, language in rows] for rows in (chosen, rest) if rows]
    if not chosen:
        return []
    table = WordTable.count(classes, [1.0] * len(classes))
    return [(term.text, term.score) for term in choose_terms(classes[0], best_keys(table, 0, 4 * limit), limit)]


def best_keys(table: WordTable, row: int, limit: int) -> dict[str, float]:
    """The best stems of a class of the table with their scores, best first."""
    scores = table.scores()[row]
    return {table.words[at]: float(scores[at]) for at in np.argsort(-scores, kind="stable")[:limit] if scores[at] > 0}


def choose_terms(texts: Sequence[Words], scored: Mapping[str, float], limit: int) -> list[Term]:
    """Terms of ``texts`` made of scored stems (best first): pairs where they are better, nothing nearly twice."""
    held = Counter(key for words in texts for key in words.kinds())
    partners = _partners(texts, scored, held)
    found: list[Term] = []
    for key, score in scored.items():
        used = {other for term in found for other in term.keys}
        pair = next((pair for pair in partners.get(key, ()) if not used & set(pair)), None)
        keys = pair or (_longest_around(key, scored, held),)
        if used & set(keys) or any(_overlap(one, other) for one in keys for other in used):
            continue
        text = written(texts, keys)
        if any(same_word(text.casefold(), term.text.casefold()) for term in found):
            continue
        found.append(Term(text, score, keys))
        if len(found) == limit:
            break
    return found


def written(texts: Iterable[Words], keys: tuple[str, ...]) -> str:
    """How the texts mostly write the stems ``keys`` side by side; in small letters where that is not rare.

    A name begins before them where they mostly follow one word in capitals: New York, Little Rock.
    """
    size = len(keys)
    forms: Counter[str] = Counter()
    before: Counter[str] = Counter()
    for words in texts:
        at = -1
        while True:
            try:
                at = words.keys.index(keys[0], at + 1)
            except ValueError:
                break
            if tuple(words.keys[at : at + size]) == keys:
                forms[" ".join(words.forms[at : at + size])] += 1
                before[words.forms[at - 1] if at else ""] += 1
    folded: Counter[str] = Counter()
    for form, count in forms.items():
        folded[form.casefold()] += count
    if not folded:
        return " ".join(keys)
    most = folded.most_common(1)[0][0]
    ways = {form: count for form, count in forms.items() if form.casefold() == most}
    if ways.get(most.lower(), 0) * 4 >= sum(ways.values()):
        return most.lower()
    best = max(ways, key=lambda form: (ways[form], not form.isupper(), form))
    best = best.capitalize() if best.isupper() and len(best) > 5 else best
    first, count = before.most_common(1)[0]
    named = first.istitle() and len(first) > 2 and count >= max(2, _NAMED * before.total())
    return f"{first} {best}" if named else best


def _partners(
    texts: Sequence[Words], scored: Mapping[str, float], held: Mapping[str, int]
) -> dict[str, list[tuple[str, ...]]]:
    """For each scored stem the pairs that say it better, most frequent first."""
    pairs: Counter[tuple[str, ...]] = Counter()
    for words in texts:
        keys = words.keys
        pairs.update(
            {
                (one, other)
                for one, other in pairwise(keys)
                if one is not None and other is not None and one != other and (one in scored or other in scored)
            }
        )
    found: dict[str, list[tuple[str, ...]]] = {}
    for pair, count in pairs.most_common():
        rarer, commoner = sorted(held[key] for key in pair)
        if count >= max(2, _PAIR_OF_RARER * rarer, _PAIR_OF_COMMONER * commoner):
            for key in pair:
                found.setdefault(key, []).append(pair)
    return found


def _longest_around(key: str, scored: Mapping[str, float], held: Mapping[str, int]) -> str:
    """For a run of characters, the longest scored one around it that is hardly rarer."""
    if key[0] < "\u0e00":
        return key
    around = [other for other in scored if key in other and held[other] >= _AROUND * held[key]]
    return max(around, key=len)


def _overlap(one: str, other: str) -> bool:
    """Whether two runs of characters share two of them in a row."""
    return one[0] >= "\u0e00" and any(one[at : at + 2] in other for at in range(len(one) - 1))


def _some(ids: Sequence[int]) -> list[int]:
    if len(ids) <= SAMPLE:
        return list(ids)
    return [ids[at] for at in np.random.default_rng(0).choice(len(ids), SAMPLE, replace=False)]


def _read(conn: Connection[Any], index_id: int, ids: list[int]) -> list[tuple[int, str, str | None]]:
    return conn.execute(_TEXTS, [ids, index_id]).fetchall() if ids else []


def _draw(conn: Connection[Any], index_id: int) -> list[tuple[int, str, str | None]]:
    """Chunks from all over an index, each with the same chance. Found by their place, without a look at the others."""
    documents = conn.execute(_COUNTS, [index_id]).fetchall()
    if not documents:
        return []
    counts = np.array([count for _, count in documents])
    ends = counts.cumsum()
    drawn = np.unique(np.random.default_rng(1).integers(0, ends[-1], min(2 * SAMPLE, 2 * int(ends[-1]))))
    if len(drawn) > SAMPLE:
        drawn = np.random.default_rng(2).choice(drawn, SAMPLE, replace=False)
    at = np.searchsorted(ends, drawn, side="right")
    ordinals = drawn - (ends[at] - counts[at])
    return conn.execute(_DRAWN, [[documents[i][0] for i in at], ordinals.tolist(), index_id]).fetchall()
