"""Rows of cells as a Markdown table whose header comes again often enough that no part of it stands alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

#: A table is broken after about so many characters and its header repeated, so that every chunk of it has one.
PART_CHARS = 700
_LONGEST_HEADER = 250
_NUMBER = re.compile(r"[-+(]?[\d.,\s]*\d[\d.,\s]*\)?\s*[%€$£]?$")
_SPACE = re.compile(r"\s+")


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Markdown for a table; "" when no cell holds anything.

    Rows with a single filled cell before the first fuller row are taken for captions and become lines above it.
    """
    filled = [cells for cells in ([_cell(cell) for cell in row] for row in rows) if any(cells)]
    captions, body = _split_captions(filled)
    body = _without_empty_columns(body)
    if not body:
        return "\n\n".join(captions)
    return "\n\n".join([*captions, *_parts(body)])


def _cell(value: str) -> str:
    return _SPACE.sub(" ", value).strip()


def _split_captions(rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    widest = max((sum(map(bool, row)) for row in rows), default=0)
    if widest < 2:
        return [next(cell for cell in row if cell) for row in rows], []
    start = next(place for place, row in enumerate(rows) if sum(map(bool, row)) > 1)
    return [next(cell for cell in row if cell) for row in rows[:start]], rows[start:]


def _without_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    width = max((len(row) for row in rows), default=0)
    padded = [row + [""] * (width - len(row)) for row in rows]
    used = [column for column in range(width) if any(row[column] for row in padded)]
    return padded if len(used) == width else [[row[column] for column in used] for row in padded]


def _parts(rows: list[list[str]]) -> list[str]:
    header, rule = _line(rows[0]), "| " + " | ".join("---" for _ in rows[0]) + " |"
    repeat = len(header) <= _LONGEST_HEADER and not any(_NUMBER.match(cell) for cell in rows[0])
    parts: list[list[str]] = [[header, rule]]
    size = 0
    for row in rows[1:]:
        line = _line(row)
        if repeat and size and size + len(line) > PART_CHARS:
            parts.append([header, rule])
            size = 0
        parts[-1].append(line)
        size += len(line)
    return ["\n".join(part) for part in parts]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
