"""CSV, TSV, JSON and JSON lines as readable text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rag.errors import ParseLimit
from rag.reading.tables import markdown_table

_DELIMITERS = ",;\t|"
_SNIFF_LINES = 50
_DEEPEST = 200


def csv_text(text: str, *, delimiter: str | None = None) -> str:
    """A Markdown table of a delimited file; the delimiter is the one that splits the first lines most evenly."""
    csv.field_size_limit(2**31 - 1)
    separator = delimiter or _delimiter(text)
    rows = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=separator, skipinitialspace=True)
    return markdown_table(rows)


def _delimiter(text: str) -> str:
    sample = "\n".join(text[:100_000].splitlines()[:_SNIFF_LINES])
    declared = re.match(r"sep=(.)\r?\n", text)
    if declared:
        return declared[1]
    return max(_DELIMITERS, key=lambda sign: _evenness(sample, sign))


def _evenness(sample: str, delimiter: str) -> tuple[float, int]:
    widths = [len(row) for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row]
    if not widths or max(widths) == 1:
        return 0.0, 0
    width, count = Counter(width for width in widths if width > 1).most_common(1)[0]
    return count / len(widths), width


def json_text(text: str) -> str:
    """``key: value`` lines; the items of a list of objects are paragraphs of their own. Not JSON at all: as it is."""
    try:
        values = [_load(text)]
    except json.JSONDecodeError:
        return jsonl_text(text)
    if isinstance(values[0], list):
        values = values[0]
    return _records(values)


def jsonl_text(text: str) -> str:
    """One paragraph a line; when some line is not JSON the text is returned as it is."""
    try:
        return _records([_load(line) for line in text.splitlines() if line.strip()])
    except json.JSONDecodeError:
        return text


def _load(text: str) -> Any:
    """Numbers stay as they are written; nesting beyond what any data has is refused."""
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except RecursionError as error:
        raise ParseLimit("The JSON is nested too deeply to read safely.") from error


def _records(values: list[Any]) -> str:
    if not any(isinstance(value, dict | list) for value in values):
        return "\n".join(_scalar(value) for value in values if _scalar(value))
    return "\n\n".join(filter(None, ("\n".join(_lines(value, "", 0)) for value in values)))


def _lines(value: Any, path: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ParseLimit("The JSON is nested too deeply to read safely.")
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _lines(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list):
        yield from _list_lines(value, path, depth)
    elif shown := _scalar(value):
        yield f"{path}: {shown}" if path else shown


def _list_lines(values: list[Any], path: str, depth: int) -> Iterator[str]:
    if not any(isinstance(value, dict | list) for value in values):
        if shown := ", ".join(filter(None, map(_scalar, values))):
            yield f"{path}: {shown}" if path else shown
        return
    for number, value in enumerate(values, 1):
        yield from _lines(value, f"{path}[{number}]" if path else "", depth + 1)


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
