"""Questions that a collection answers and questions that it doesn't: our own, and mixes of the shared sets."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OWN = Path(__file__).with_name("refusals")
EVAL = Path(__file__).resolve().parents[2] / "shared" / "eval"

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question put to ``collection``, counted under ``name``.

    ``answer`` holds the spans of its document that answer it, where they are known. ``withheld`` are spans that the
    answerer doesn't get to see.
    """

    name: str
    collection: str
    question: str
    answerable: bool
    document: str | None = None
    answer: tuple[Span, ...] = ()
    withheld: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Mix:
    """Documents by name, by collection; and what is asked of them."""

    collections: Mapping[str, Mapping[str, str]]
    asked: list[Asked]


def read_own() -> Mix:
    """The texts and questions of our own; each half is asked the questions of the other as well."""
    halves = {name: _read_texts(OWN / name) for name in ("tuned", "held_back")}
    asked = []
    for row in _rows(OWN / "questions.jsonl"):
        half, other = row["half"], "tuned" if row["half"] == "held_back" else "held_back"
        if row["kind"] == "answerable":
            spans = tuple(_span(halves[half][row["document"]], words) for words in row["excerpts"])
            asked.append(Asked(f"{half}: answerable", half, row["question"], True, row["document"], spans))
            asked.append(Asked(f"{other}: of the other half", other, row["question"], False))
        else:
            asked.append(Asked(f"{half}: {row['kind']}", half, row["question"], False))
    return Mix(halves, asked)


def read_shared() -> Mix:
    """chunking_eval asked of itself, of the wrong text, of Cranfield, and without its answers; Cranfield likewise.

    Empty where the shared sets are not there.
    """
    if not (EVAL / "chunking_eval").exists():
        return Mix({}, [])
    texts = {f"{row['id']}.md": row["text"] for row in _rows(EVAL / "chunking_eval" / "corpus.jsonl")}
    abstracts = {f"{row['id']}.txt": row["text"] for row in _rows(EVAL / "cranfield" / "corpus.jsonl")}
    collections = {name.removesuffix(".md"): {name: text} for name, text in texts.items()}
    spans: dict[str, list[Span]] = defaultdict(list)
    for row in _rows(EVAL / "chunking_eval" / "spans.jsonl"):
        spans[row["query_id"]].append((row["start"], row["end"]))
    asked = []
    for row in _rows(EVAL / "chunking_eval" / "queries.jsonl"):
        own = row["id"].rpartition("-")[0]
        wrong = next(name for name in collections if name != own)
        answer, text = tuple(spans[row["id"]]), row["text"]
        asked += [
            Asked(own, own, text, True, f"{own}.md", answer),
            Asked(f"{own}: asked of {wrong}", wrong, text, False),
            Asked(f"{own}: asked of cranfield", "cranfield", text, False),
            Asked(f"{own}: without the passages that answer", own, text, False, f"{own}.md", withheld=answer),
        ]
    for row in _rows(EVAL / "cranfield" / "queries.jsonl"):
        asked.append(Asked("cranfield", "cranfield", row["text"], True))
        asked += [Asked(f"cranfield: asked of {name}", name, row["text"], False) for name in collections]
    return Mix({**collections, "cranfield": abstracts}, asked)


def _read_texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _span(text: str, words: str) -> Span:
    start = text.index(words)
    return start, start + len(words)
