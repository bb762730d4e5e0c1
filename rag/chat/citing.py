"""Citation markers in a model's answer, and what else of its Markdown may reach a reader.

A model's text is not trusted: it may repeat what a document told it to write. :class:`AnswerFilter` works on the
stream, so a false marker, HTML, an image or a link never shows, not even for a moment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from rag.chat.markup import code

#: A construct that stays open for longer than this is shown as plain text.
_PATIENCE = 2000
_NUMBERS = r"\^?\d{1,4}(?:\s{0,3}[-–,;、，]\s{0,3}\^?\d{1,4}){0,30}"
_MARKER = re.compile(
    rf"[\[【［]\s{{0,3}}(?:(?:passages?|sources?|refs?)\.?\s{{0,3}})?({_NUMBERS})\s{{0,3}}(?:†[^\]】］\n]{{0,60}})?[\]】］]",
    re.IGNORECASE,
)
_OPEN_MARKER = re.compile(r"[\[【［][^\]】］\n]{0,120}\Z")
_FENCE = re.compile(r"[ \t]{0,12}(?P<run>`{3,}|~{3,})(?P<info>[^`\n]*)\n")
_OPEN_FENCE = re.compile(r"[ \t]{0,12}(?:`{1,2}\Z|`{3,}[^`\n]*\Z|~[^\n]*\Z|\Z)")
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>`\"'\])]+", re.IGNORECASE)
_OPEN_LINK = re.compile(
    r"(?:h|ht|htt|https?|https?:|https?:/|w|ww|www|(?:https?://|www\.)[^\s<>`\"'\])]*)\Z", re.IGNORECASE
)
_LINK_START = re.compile(r"https?://|www\.", re.IGNORECASE)
_PLAIN = re.compile(r"[^\\`\[【［<&hHwW \t\n]+|\n")
_SHOWN_MARKER = re.compile(r"\[\d{1,4}\]\Z")
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|nbsp);)(?=#?\w{1,32};)")
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_SETTLED = re.compile(
    r"(?ms:^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^(?P=fence)[`~]*[ \t]*$|\Z))"
    r"|(?<!`)(?P<run>`+)(?!`)[^\n]*?(?<!`)(?P=run)(?!`)|\\.|\[(?P<number>\d{1,4})\]"
)
_CLAIM_START = re.compile(r"[.!?…](?=\s)|[。！？\n]|(?<!\\)\[\d+\]")


@dataclass(frozen=True, slots=True)
class Marker:
    """``[number]`` in a finished answer and the words that it stands for."""

    number: int
    claim: str


class AnswerFilter:
    """Turns a model's stream into Markdown that is safe to show, a piece at a time.

    Markers come out as ``[1][2]`` whatever their form was; numbers outside ``known`` are dropped. Outside code, HTML
    and brackets are escaped and addresses become code, so nothing is fetched and nothing can be clicked.
    """

    def __init__(self, known: Collection[int]) -> None:
        self._known = frozenset(known)
        self._held = ""
        self._line_start = True
        self._fence = ""
        self._last_shown = ""

    def feed(self, text: str) -> str:
        """Return what can be shown now; what could still become a construct is held back."""
        self._held += _UNSAFE.sub("", text.replace("\r\n", "\n"))
        return "".join(self._take(final=False))

    def finish(self) -> str:
        """Return the rest, with an open code block closed."""
        rest = "".join(self._take(final=True))
        if self._fence:
            rest += ("" if self._line_start else "\n") + self._fence
            self._fence = ""
        return rest

    def _take(self, *, final: bool) -> Iterator[str]:
        while self._held:
            settle = final or len(self._held) > _PATIENCE
            step = self._in_fence(settle) if self._fence else self._outside(settle)
            if step is None:
                return
            used, shown = step
            self._line_start = self._held[used - 1] == "\n"
            self._held = self._held[used:]
            yield self._apart(shown)

    def _apart(self, shown: str) -> str:
        """Keep two harmless pieces from making a link together: ``[1]`` + ``(…)``, ``http:/`` + ``/…``."""
        last = self._last_shown
        seam = _LINK_START.search(last + shown[:8].partition("`")[0])
        joins_link = seam is not None and seam.start() < len(last) < seam.end()
        if shown and (joins_link or (_SHOWN_MARKER.search(last) and shown[0] in "(:")):
            shown = " " + shown
        self._last_shown = (last + shown)[-8:]
        return shown

    def _in_fence(self, settle: bool) -> tuple[int, str] | None:
        line, newline, _ = self._held.partition("\n")
        if not newline and not settle:
            return None
        mark = line.strip()
        if len(mark) >= len(self._fence) and set(mark) == {self._fence[0]}:
            self._fence = ""
            return len(line) + len(newline), mark + newline
        return len(line) + len(newline), line + newline

    def _outside(self, settle: bool) -> tuple[int, str] | None:
        if self._line_start:
            if fence := _FENCE.match(self._held):
                self._fence = fence["run"]
                return fence.end(), fence["run"] + fence["info"] + "\n"
            if not settle and _OPEN_FENCE.match(self._held):
                return None
        if plain := _PLAIN.match(self._held):
            return plain.end(), plain.group()
        return self._construct(self._held[0], settle)

    def _construct(self, first: str, settle: bool) -> tuple[int, str] | None:
        if first == "\\":
            return self._backslash(settle)
        if first == "`":
            return self._code(settle)
        if first == "<":
            return self._less_than(settle)
        if first == "&":
            return self._ampersand(settle)
        if first in "hHwW":
            return self._link(settle)
        return self._bracket(settle)

    def _backslash(self, settle: bool) -> tuple[int, str] | None:
        # The pair is one token: "\[" is escaped already, and "\\[" must not turn into a live bracket.
        if len(self._held) < 2:
            return (1, "\\\\") if settle else None
        # Of "http:\\//" a reader's Markdown would make an address.
        return 2, "\\" * (self._held[1] in ":/.") + self._held[:2]

    def _code(self, settle: bool) -> tuple[int, str] | None:
        run = re.match(r"`+", self._held)
        assert run is not None
        line, newline, _ = self._held.partition("\n")
        closing = re.compile(rf"(?<!`){run.group()}(?!`)").search(line, run.end())
        if closing and (newline or settle or closing.end() < len(line)):
            return closing.end(), line[: closing.end()]
        if newline or settle:
            return run.end(), "\\`" * len(run.group())
        return None

    def _less_than(self, settle: bool) -> tuple[int, str] | None:
        if len(self._held) < 2 and not settle:
            return None
        return 1, "&lt;" if re.match(r"<[A-Za-z/!?]", self._held) else "<"

    def _ampersand(self, settle: bool) -> tuple[int, str] | None:
        if not settle and re.fullmatch(r"&#?\w{0,32}", self._held):
            return None
        return 1, "&amp;" if _ENTITY.match(self._held) else "&"

    def _link(self, settle: bool) -> tuple[int, str] | None:
        if not settle and _OPEN_LINK.match(self._held):
            return None
        if link := _LINK.match(self._held):
            return link.end(), code(link.group())
        return 1, self._held[0]

    def _bracket(self, settle: bool) -> tuple[int, str] | None:
        """A marker with the blanks before it, another bracket, or blanks."""
        blanks = len(self._held) - len(self._held.lstrip(" \t"))
        rest = self._held[blanks:]
        if marker := _MARKER.match(rest):
            if marker.end() == len(rest) and not settle:
                return None
            numbers = [number for number in _expand(marker[1]) if number in self._known]
            shown = self._held[:blanks] + "".join(f"[{number}]" for number in numbers) if numbers else ""
            return blanks + marker.end(), shown
        if not settle and (not rest or _OPEN_MARKER.match(rest)):
            return None
        if blanks:
            return blanks, self._held[:blanks]
        return 1, "\\[" if rest[0] == "[" else rest[0]


def settled_spans(content: str) -> Iterator[tuple[int, int, int | None]]:
    """What stands for itself in a filtered answer: markers with their number, code and escaped letters with None."""
    for found in _SETTLED.finditer(content):
        yield found.start(), found.end(), None if found["number"] is None else int(found["number"])


def find_markers(content: str) -> list[Marker]:
    """The markers of a filtered answer in order, code left out; a run like ``[1][2]`` shares one claim."""
    markers: list[Marker] = []
    shared_end = -1
    claim = ""
    for found in _SETTLED.finditer(content):
        if found["number"] is None:
            continue
        if found.start() != shared_end:
            claim = _claim_before(content[: found.start()])
        markers.append(Marker(int(found["number"]), claim))
        shared_end = found.end()
    return markers


def _claim_before(text: str) -> str:
    """The sentence that ends where the marker stands, its own full stop included or not."""
    line = text.rstrip().rstrip(".!?。！？…")[-1000:]
    starts = [found.end() for found in _CLAIM_START.finditer(line)]
    return line[starts[-1] if starts else 0 :].strip()


def _expand(numbers: str) -> list[int]:
    """``1, 3-5`` as [1, 3, 4, 5], each once; a range of more than 20 is not believed."""
    expanded: list[int] = []
    for part in re.split(r"[,;、，]", numbers.replace("^", "")):
        ends = [int(end) for end in re.split(r"[-–]", part) if end.strip()]
        expanded += range(ends[0], ends[-1] + 1) if len(ends) == 2 and ends[1] - ends[0] < 20 else ends
    return list(dict.fromkeys(expanded))
