"""Conversations and answers as Markdown: what stands in it, and that text from elsewhere stays text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from rag.chat.chat_records import Citation, Message, Passage, PhaseNote
from rag.chat.snapshots import SearchedPlace, Snapshot
from rag.chat.transcripts import (
    answer_markdown,
    conversation_markdown,
    describe_making,
    list_sources,
    quoted,
    writer,
)

NOW = datetime(2026, 11, 23, 2, 40, tzinfo=UTC)
DOCUMENT = UUID(int=5)
SNAPSHOT = Snapshot(
    profile={},
    indexes=[SearchedPlace(UUID(int=7), "Pumps", 3, "mini")],
    found=9,
    kept=2,
    completion_tokens=40,
    exact_tokens=False,
    tokens_per_second=20.4,
)


def message(number: int, role: str, content: str, **more: object) -> Message:
    values: dict[str, object] = {
        "id": UUID(int=number), "chat_id": UUID(int=99), "position": number, "role": role, "content": content,
        "phase": "complete", "phase_at": NOW, "phases": [PhaseNote("generating", "", "", 3.25)], "attempt": 1,
        "stop_requested": False, "kind": None, "model": None, "error": None, "error_hint": None, "created_at": NOW,
    }  # fmt: skip
    return Message(**(values | more))  # type: ignore[arg-type]


def passage(number: int, name: str, title: str | None = None, page: int | None = None) -> Passage:
    return Passage(number, DOCUMENT, number, name, title, 1, 0, 50, page, "text", 0.5, None, 0.5)


QUESTION = message(1, "user", "How long?\n\n# really", asked_by=UUID(int=8), asker="Ada [x](y)")
ANSWER = message(
    2,
    "assistant",
    "27 months [2].",
    kind="model",
    model="big-one",
    standalone="How long is the warranty?",
    snapshot=SNAPSHOT.to_json(),
    passages=[passage(1, "lake.txt"), passage(2, "pump_v2.md", "The pump", 3)],
    citations=[Citation(1, 2, 4, 20, "The warranty is\n27 *months*."), Citation(2, 2, 30, 40, "Claims in Leeds.")],
)


def test_an_answer_lists_the_sources_that_it_cites_with_their_quotes() -> None:
    assert answer_markdown(ANSWER) == (
        "27 months [2].\n\n**Sources**\n\n"
        "- \\[2\\] The pump, page 3\n  > The warranty is 27 \\*months\\*.\n\n  > Claims in Leeds.\n"
    )


def test_sources_are_linked_where_there_is_an_address() -> None:
    (source,) = list_sources(ANSWER, lambda passage, start, end: f"http://here/{passage.number}?{start}-{end}")
    assert source.startswith("- \\[2\\] [The pump](http://here/2?4-20), page 3")


def test_how_an_answer_ended_is_said() -> None:
    failed = replace(
        ANSWER, phase="failed", content="", citations=[], error="No <b>model</b>.", error_hint="Try again."
    )
    assert answer_markdown(failed) == "**No \\<b>model\\<b>.** Try again.\n".replace("\\<b>.", "\\</b>.")
    assert "Stopped before it was finished" in answer_markdown(replace(ANSWER, phase="stopped"))
    assert "Not finished yet" in answer_markdown(replace(ANSWER, phase="generating", content=""))


def test_a_conversation_says_who_asked_what_was_searched_for_and_what_it_took() -> None:
    gone = message(3, "user", "And now?", parent_id=ANSWER.id)
    text = conversation_markdown("About *pumps*", ["Pumps", "Lakes"], [QUESTION, ANSWER, gone], NOW)
    assert text.startswith(
        "# About \\*pumps\\*\n\nExported from Corpuscope at 23 November 2026, 02:40 UTC. Asked: Pumps, "
    )
    assert "**Ada \\[x\\](y)**, 23 November 2026, 02:40 UTC\n\n> How long?  \n>\n> \\# really" in text
    assert "Searched for: How long is the warranty?" in text
    assert "*Written by big-one, 3.2 s, 2 of 9 passages read, about 40 tokens, 20 a second*" in text
    assert text.endswith("**Somebody who left**, 23 November 2026, 02:40 UTC\n\n> And now?\n")


def test_times_are_of_the_readers_zone_and_one_person_is_not_named() -> None:
    text = conversation_markdown("Pumps", ["Pumps"], [QUESTION, ANSWER], NOW.astimezone(ZoneInfo("Europe/Berlin")))
    assert text.count("23 November 2026, 03:40 CET") == 2
    assert "Ada" not in text


def test_what_made_an_answer_is_said_in_few_words() -> None:
    assert describe_making(ANSWER) == ["3.2 s", "2 of 9 passages read", "about 40 tokens", "20 a second"]
    assert describe_making(replace(ANSWER, snapshot=None, phases=[])) == ["2 passages read"]
    one = replace(SNAPSHOT, found=1, completion_tokens=None, left_out=[2])
    assert describe_making(replace(ANSWER, snapshot=one.to_json())) == ["3.2 s", "1 passage read"]
    assert writer(ANSWER) == "big-one"
    assert writer(replace(ANSWER, kind="extractive")) == "quotes alone"


def test_a_quote_shows_its_text_as_it_stands() -> None:
    assert quoted("one\n- two\n\n![x] http://evil.example/p.png") == (
        "> one  \n> \\- two  \n>\n> !\\[x\\] `http://evil.example/p.png`  "
    )
