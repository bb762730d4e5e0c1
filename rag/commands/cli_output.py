"""What commands print: results on stdout, as text or JSON; progress on stderr, on one line where that can be."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

#: Seconds between two progress lines where a line can't be written over.
_QUIET_S = 5.0


@dataclass
class Output:
    """One command's two streams. ``json`` chooses the form of results; progress is text always."""

    json: bool = False
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    stderr: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    _shown: str = ""
    _shown_at: float = float("-inf")

    def result(self, value: Any, text: str) -> None:
        """Print one result: ``value`` as a line of JSON, or ``text``."""
        self.clear()
        print(json.dumps(value, ensure_ascii=False) if self.json else text, file=self.stdout, flush=True)

    def write(self, piece: str) -> None:
        """Print a piece of a streamed text result at once; nothing with JSON."""
        if not self.json:
            self.stdout.write(piece)
            self.stdout.flush()

    def say(self, message: str) -> None:
        """One line of progress that stays."""
        self.clear()
        print(message, file=self.stderr, flush=True)

    def show(self, message: str) -> None:
        """Progress that the next one writes over; without a terminal, now and then a line."""
        if not message or message == self._shown:
            return
        if self.stderr.isatty():
            self.stderr.write("\r\x1b[K" + message[:200])
            self.stderr.flush()
        elif self.clock() - self._shown_at < _QUIET_S:
            return
        else:
            print(message, file=self.stderr, flush=True)
        self._shown, self._shown_at = message, self.clock()

    def clear(self) -> None:
        """Wipe the progress line before something else is printed."""
        if self._shown and self.stderr.isatty():
            self.stderr.write("\r\x1b[K")
            self.stderr.flush()
        self._shown = ""


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Columns under a header, numbers to the right."""
    texts = [list(header), *[["" if cell is None else str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in texts) for column in range(len(header))]
    right = [all(isinstance(row[column], int | float) for row in rows) and bool(rows) for column in range(len(header))]
    lines = [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in texts
    ]
    return "\n".join(lines)
