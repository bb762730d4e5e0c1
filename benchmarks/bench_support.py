"""How often the support check of an answer's sentences errs, on a small labelled set of our own.

``support_claims.json`` holds passages and, for each, claims that it backs (copied, reworded, joined from two
sentences) and claims that it doesn't (another number, another name, absent although about the same thing, negated).
Each claim is cited to its passage among three others; ``elsewhere`` are the backed claims cited to another passage. The
thresholds were chosen on the first half of the passages (every other one); the rates are of the second half.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rag.chat.chat_records import SentenceSupport
from rag.chat.extractive import EmbedSentences, Source
from rag.chat.grounding import sentence_embedder
from rag.chat.support import check_support
from rag.settings import load_settings
from rag.vectors.embedders import load_embedder

_SET = Path(__file__).with_name("support_claims.json")
BACKED = ("copied", "reworded", "joined")
UNBACKED = ("number", "name", "absent", "elsewhere", "negated")
#: Of unrelated texts under the packaged model.
_RANDOM_MEAN = 0.03


def run() -> list[dict[str, Any]]:
    """The share of backed claims that is left alone, and of others that is marked (weak or unsupported), by kind."""
    embed = sentence_embedder(load_embedder(load_settings()))
    passages = json.loads(_SET.read_text())
    rows = []
    for embedding, half in ((embed, 1), (embed, 0), (None, 1)):
        verdicts: dict[str, Counter[str]] = defaultdict(Counter)
        for kind, found in judge(passages, embedding):
            if found[0] % 2 == half:
                verdicts[kind][found[1].verdict] += 1
        manner = "" if embedding else ", words alone"
        part = "" if half else ", where it was fitted"
        for kind in (*BACKED, *UNBACKED):
            total = verdicts[kind].total()
            supported = verdicts[kind]["supported"]
            rows.append(
                {
                    "name": f"{kind} claims {'not marked' if kind in BACKED else 'marked'}{manner}{part}",
                    "value": round((supported if kind in BACKED else total - supported) / total, 3),
                    "unit": f"of {total}",
                }
                | {f"called {verdict}": n for verdict, n in sorted(verdicts[kind].items())}
            )
    return rows


def judge(
    passages: list[dict[str, Any]], embed: EmbedSentences | None
) -> Iterator[tuple[str, tuple[int, SentenceSupport]]]:
    """(kind, (which passage, what was found)) of every claim."""
    for at, passage in enumerate(passages):
        sources = [
            Source(number, 0, passages[(at + number - 1) % len(passages)]["text"], language=passage["language"])
            for number in (1, 2, 3, 4)
        ]
        for kind, claims in passage["claims"].items():
            for claim in claims:
                yield kind, (at, _only(claim, 1, sources, embed))
                if kind in BACKED:
                    yield "elsewhere", (at, _only(claim, 2, sources, embed))


def _only(claim: str, cited: int, sources: list[Source], embed: EmbedSentences | None) -> SentenceSupport:
    (found,) = check_support(f"{claim} [{cited}]", sources, embed, _RANDOM_MEAN)
    return found
