"""What follows a model's answer that rests on no passage: most often "I don't know", and then the nearest passages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rag.chat.citing import find_markers
from rag.chat.extractive import Choice, Quote, write_answer

#: A longer text that cites nothing is no refusal, and is marked as uncited by the support check.
_LONGEST = 600
_MOST = 2
_LEAD = "\n\n*This rests on no passage. The nearest ones say:*"


def rests_on_nothing(content: str) -> bool:
    """Whether an answer cites no passage and is as short as those that say that nothing was found."""
    return len(content.strip()) <= _LONGEST and not find_markers(content)


def write_nearest(choice: Choice) -> Iterator[tuple[str, Quote | None]]:
    """The nearest passages as Markdown, a block at a time, each with its quote; nothing where there are none."""
    quotes = choice.quotes[:_MOST]
    if quotes:
        yield _LEAD, None
        _, *blocks = write_answer(replace(choice, quotes=quotes, relevant=False))
        yield from blocks
