"""Splits an SQL script into its statements, as the Supabase CLI records them."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Lexical structure after https://www.postgresql.org/docs/current/sql-syntax-lexical.html; an unterminated constant
#: runs to the end of the script, and Postgres then says so better than we could.
_TOKEN = re.compile(
    r"""
      (?P<comment>  --[^\n]*+ )
    | (?P<block>    /\* )
    | (?P<escaped>  [eE]'(?:[^'\\]|\\.|'')*+(?:'|\Z) )
    | (?P<quoted>   '(?:[^']|'')*+(?:'|\Z) | "(?:[^"]|"")*+(?:"|\Z) )
    | (?P<dollar>   \$(?:[^\W\d]\w*)?\$ )
    | (?P<word>     [^\W\d][\w$]*+ )
    | (?P<number>   \d[\w$]*+ )
    | (?P<other>    . )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")


def split_statements(script: str) -> list[str]:
    """The statements of ``script``, trimmed, without their semicolons; comments stay where they are."""
    trimmed = (script[start:end].strip().rstrip(";").strip() for start, end in _spans(script))
    return [statement for statement in trimmed if statement]


def _spans(script: str) -> Iterator[tuple[int, int]]:
    start, depth = 0, 0
    atomic = _AtomicBody()
    for kind, begin, end in _tokens(script):
        text = script[begin:end]
        if kind == "word":
            atomic.read(text.lower())
        elif text == "(":
            depth += 1
        elif text == ")":
            depth = max(depth - 1, 0)
        elif text == ";" and depth == 0 and not atomic.open:
            yield start, end
            start, atomic = end, _AtomicBody()
    yield start, len(script)


def _tokens(script: str) -> Iterator[tuple[str, int, int]]:
    """Kind, begin and end of each token; dollar-quoted strings and nested block comments come as one."""
    position = 0
    while token := _TOKEN.match(script, position):
        kind, begin, position = token.lastgroup or "", token.start(), token.end()
        if kind == "dollar":
            close = script.find(token[0], position)
            position = len(script) if close < 0 else close + len(token[0])
        elif kind == "block":
            position = _end_of_block(script, position)
        yield kind, begin, position


def _end_of_block(script: str, position: int) -> int:
    depth = 1
    while depth and (edge := _BLOCK_EDGE.search(script, position)):
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return len(script) if depth else position


class _AtomicBody:
    """Follows ``begin atomic … end``, the one place where a statement holds semicolons outside of quotes."""

    def __init__(self) -> None:
        self._previous = ""
        self._depth = 0

    @property
    def open(self) -> bool:
        return self._depth > 0

    def read(self, word: str) -> None:
        if (word == "atomic" and self._previous == "begin") or (self.open and word == "case"):
            self._depth += 1
        elif self.open and word == "end":
            self._depth -= 1
        self._previous = word
