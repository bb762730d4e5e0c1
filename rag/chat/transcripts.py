"""Conversations and answers as Markdown that stands alone: with the sources that each answer quotes below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from rag.chat.chat_records import Citation, Message, Passage
from rag.chat.markup import escape
from rag.chat.snapshots import Snapshot, read_snapshot

#: The address at which a passage opens at a span of its document, or "" where there is none.
Address = Callable[[Passage, int, int], str]

#: Characters of one quote in a list of sources.
_MOST_QUOTED = 400


def no_address(passage: Passage, start: int, end: int) -> str:
    """For texts without links."""
    return ""


def answer_markdown(message: Message, address: Address = no_address) -> str:
    """One answer: what it says and, below, the sources of its numbers with what is quoted from each.

    An answer that failed or was stopped says so.
    """
    parts = [message.content.strip(), *_outcome(message)]
    if sources := list_sources(message, address):
        parts.append("**Sources**")
        parts.append("\n".join(sources))
    return "\n\n".join(part for part in parts if part) + "\n"


def conversation_markdown(
    title: str, collections: Sequence[str], messages: Iterable[Message], now: datetime, address: Address = no_address
) -> str:
    """A conversation, or one branch of it, from its first question on. Times are said in the zone of ``now``.

    Who asked is said where several people did.
    """
    messages = list(messages)
    several = len({message.asked_by for message in messages if message.role == "user"}) > 1
    asked = ", ".join(escape(name) for name in collections)
    parts = [f"# {escape(title)}", f"Exported from Corpuscope at {_time(now)}. Asked: {asked}."]
    for message in messages:
        parts.append("---" if message.role == "user" else "")
        parts.append(_question(message, now, several) if message.role == "user" else _answer(message, address))
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def list_sources(message: Message, address: Address = no_address) -> list[str]:
    """A list item for each cited passage in order of its number, with the quotes below it."""
    cited: dict[int, list[Citation]] = {}
    for citation in sorted(message.citations, key=lambda one: one.ordinal):
        cited.setdefault(citation.number, []).append(citation)
    passages = {passage.number: passage for passage in message.passages}
    return [_source(passages[number], cited[number], address) for number in sorted(cited) if number in passages]


def describe_making(message: Message) -> list[str]:
    """What an answer was made by and with, in a few words each: the model, time, passages, tokens and their rate."""
    snapshot = read_snapshot(message.snapshot)
    words = [f"{message.seconds:.1f} s"] if message.seconds else []
    words.append(_passages(message, snapshot))
    if snapshot is not None and snapshot.completion_tokens:
        about = "" if snapshot.exact_tokens else "about "
        words.append(f"{about}{snapshot.completion_tokens:,} tokens")
        if snapshot.tokens_per_second:
            words.append(f"{snapshot.tokens_per_second:.0f} a second")
    return words


def writer(message: Message) -> str:
    """Who wrote it: the model's name, ``quotes alone`` without a model, empty before it is known."""
    return "quotes alone" if message.kind == "extractive" else message.model or ""


def _passages(message: Message, snapshot: Snapshot | None) -> str:
    read = len(message.passages) - (len(snapshot.left_out) if snapshot else 0)
    noun = "passage" if read == 1 else "passages"
    if snapshot is not None and snapshot.found > read:
        return f"{read:,} of {snapshot.found:,} passages read"
    return f"{read:,} {noun} read"


def _question(message: Message, now: datetime, several: bool) -> str:
    who = f"**{escape(message.asker or 'Somebody who left')}**, " if several else ""
    return f"{who}{_time(message.created_at.astimezone(now.tzinfo))}\n\n{quoted(message.content)}"


def _answer(message: Message, address: Address) -> str:
    searched = f"Searched for: {escape(message.standalone)}" if message.standalone else ""
    made = [f"Written by {escape(writer(message))}"] if writer(message) else []
    made += describe_making(message)
    return "\n\n".join(
        part for part in (searched, answer_markdown(message, address).strip(), f"*{', '.join(made)}*") if part
    )


def quoted(text: str) -> str:
    """``text`` as a block quote that shows it as it stands, line by line."""
    lines = [escape(line) for line in text.strip().splitlines()]
    return "\n".join(f"> {line}  " if line else ">" for line in lines)


def _outcome(message: Message) -> list[str]:
    if message.phase == "failed":
        return [f"**{escape(message.error or 'The answer failed.')}** {escape(message.error_hint or '')}".strip()]
    if message.phase == "stopped":
        return ["*Stopped before it was finished.*"]
    return [] if message.finished else ["*Not finished yet.*"]


def _source(passage: Passage, citations: Sequence[Citation], address: Address) -> str:
    name = escape(passage.title or passage.document)
    first = citations[0]
    if target := address(passage, first.start, first.end):
        name = f"[{name}]({target})"
    page = f", page {passage.page}" if passage.page else ""
    quotes = dict.fromkeys(_cut(citation.quote) for citation in citations)
    return "\n".join(
        [f"- \\[{passage.number}\\] {name}{page}", *(f"  > {escape(quote)}\n" for quote in quotes)]
    ).rstrip()


def _cut(quote: str) -> str:
    return quote if len(quote) <= _MOST_QUOTED else f"{quote[:_MOST_QUOTED]}…"


def _time(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M} {moment.tzname() or ''}".rstrip()
