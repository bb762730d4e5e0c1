"""What an answer's own notes say of it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from rag.chat.chat_records import Message, Phase, PhaseNote


def answer(phase: Phase, *notes: tuple[str, float | None]) -> Message:
    return Message(
        id=uuid4(), chat_id=uuid4(), position=2, role="assistant", content="", phase=phase,
        phase_at=datetime.now(UTC), phases=[PhaseNote(name, "", "", seconds) for name, seconds in notes],
        attempt=1, stop_requested=False, kind=None, model=None, passages=[], citations=[], error=None, error_hint=None,
        created_at=datetime.now(UTC),
    )  # fmt: skip


def test_the_end_has_the_time_of_all_phases() -> None:
    done = answer("complete", ("analyzing", 0.5), ("retrieving", 0.25), ("generating", 2.0), ("complete", 2.75))
    assert done.seconds == 2.75


def test_until_then_the_phases_so_far_count() -> None:
    assert answer("generating", ("analyzing", 0.5), ("retrieving", 0.25), ("generating", None)).seconds == 0.75
    assert answer("queued").seconds == 0
