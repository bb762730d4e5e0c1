"""What a progress view says, and how fast it thinks that things go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rag.corpus.progress import Progress, RateMeter, describe, describe_duration
from rag.records import Stage, WorkerStatus

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
STAGES: tuple[Stage, ...] = ("stored", "parsing", "chunking", "embedding", "ready", "failed", "cancelled")
WORKING = WorkerStatus(alive=1, loading=0, busy=1, waiting_until=None, waiting_reason=None, last_seen=NOW)
STILL = Progress(dict.fromkeys(STAGES, 0), 0, 0, 0, 0, 0, None, "", WORKING, NOW)


def look(**changes: object) -> Progress:
    """A look at a collection of which only ``changes`` are not zero; stages by their names."""
    stages = {stage: changes.pop(stage, 0) for stage in STAGES}
    return replace(STILL, stages=stages, **changes)  # type: ignore[arg-type]


def test_embedding_is_counted_timed_and_foreseen() -> None:
    said = describe(look(embedding=3, chunks=5310, embedded=1204), 47.0)
    assert said == "Embedding 1,204 of 5,310 chunks · 47/s · about 1 min 27 s left"


def test_unread_documents_are_foreseen_from_finished_ones() -> None:
    looked = look(
        stored=10, waiting=10, longest_wait_s=5.0, embedding=1, ready=4, chunks=20, embedded=10, embedded_total=50
    )
    assert looked.remaining == 10 + 10 * (50 - 10) // 4
    assert "about 11 s left" in describe(looked, 10.0)


def test_with_nothing_finished_no_end_is_foreseen() -> None:
    looked = look(stored=1, waiting=1, longest_wait_s=5.0, embedding=1, chunks=20, embedded=10, embedded_total=10)
    assert looked.remaining is None
    said = describe(looked, 10.0)
    assert said == "Embedding 10 of 20 chunks · 10/s · 1 document waits to be read, the longest for 5 s"


def test_a_slow_rate_keeps_a_decimal() -> None:
    assert "0.4/s" in describe(look(embedding=1, chunks=100, embedded=10), 0.4)


def test_without_a_rate_nothing_is_foreseen() -> None:
    assert describe(look(embedding=1, chunks=100, embedded=10)) == "Embedding 10 of 100 chunks"


def test_no_worker_is_a_state_and_not_silence() -> None:
    said = describe(look(stored=2, waiting=2, longest_wait_s=61.0, worker=replace(WORKING, alive=0, busy=0)), 9.0)
    assert said == (
        "No worker is running: start one with `corpuscope worker`. "
        "2 documents wait to be read, the longest for 1 min 1 s"
    )


def test_a_rate_from_before_the_worker_died_foresees_nothing() -> None:
    said = describe(look(embedding=1, chunks=10, embedded=5, worker=replace(WORKING, alive=0)), 9.0)
    assert "left" not in said


def test_waiting_for_the_provider_says_until_when_and_why() -> None:
    until = NOW + timedelta(minutes=5)
    waiting = replace(WORKING, waiting_until=until, waiting_reason="The provider asked for a pause.")
    said = describe(look(embedding=1, chunks=10, embedded=5, worker=waiting))
    clock = until.astimezone().strftime("%H:%M")
    assert said.startswith(f"Waiting for the provider until {clock}: The provider asked for a pause. Embedding")


def test_a_wait_that_is_over_is_not_mentioned() -> None:
    over = replace(WORKING, waiting_until=NOW - timedelta(seconds=1), waiting_reason="x")
    assert "provider" not in describe(look(parsing=1, worker=over))


def test_a_loading_model_is_mentioned_until_one_worker_has_it() -> None:
    assert describe(look(parsing=1, worker=replace(WORKING, alive=2, loading=2))).startswith(
        "The model is still loading."
    )
    assert "loading" not in describe(look(parsing=1, worker=replace(WORKING, alive=2, loading=1)))


def test_nothing_to_do_is_said_with_nothing() -> None:
    assert describe(look(ready=5, failed=1, cancelled=2)) == ""


def test_paused_documents_are_not_waited_for() -> None:
    paused = look(stored=2, paused=2, worker=replace(WORKING, alive=0))
    assert not paused.active
    assert describe(paused) == "2 documents paused."


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "1 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (87, "1 min 27 s"),
        (304, "5 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_said_as_people_do(seconds: float, said: str) -> None:
    assert describe_duration(seconds) == said


def test_the_rate_spans_its_window_only() -> None:
    meter = RateMeter(window_s=10)
    for second in range(20):
        meter.feed(second, 0)
    for second in range(20, 41):
        meter.feed(second, (second - 20) * 30)
    assert meter.rate == pytest.approx(30)
    assert meter.eta(300) == pytest.approx(10)


def test_a_rate_needs_two_looks_apart() -> None:
    meter = RateMeter()
    assert meter.rate is None
    meter.feed(0, 0)
    meter.feed(0.1, 5)
    assert meter.rate is None
    assert meter.eta(5) is None


def test_a_falling_counter_starts_anew() -> None:
    meter = RateMeter()
    meter.feed(0, 1000)
    meter.feed(1, 10)
    meter.feed(2, 20)
    assert meter.rate == pytest.approx(10)


def test_standing_still_has_a_rate_of_zero_and_no_end() -> None:
    meter = RateMeter()
    meter.feed(0, 7)
    meter.feed(5, 7)
    assert meter.rate == 0
    assert meter.eta(3) is None
