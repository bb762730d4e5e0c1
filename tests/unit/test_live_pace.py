"""Who looks on at documents being read: each at a moment of their own."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rag.chat.watching import read_topics
from rag.settings import Settings
from rag.web.entrance import Entrance
from rag.web.live import DOCUMENTS_S, Listener

COLLECTION = "aaaaaaaa-0000-4000-8000-00000000000c"


def listeners(topic: str, number: int) -> list[Listener]:
    entrance = Entrance(Settings(_env_file=None), lambda: None)
    return [Listener(entrance, read_topics(f"{topic}:{COLLECTION}"), None) for _ in range(number)]


@pytest.mark.parametrize("number", [2, 10, 50])
def test_no_two_look_at_documents_in_one_instant(number: int) -> None:
    moments = sorted(listener.wait_s(1000.0) for listener in listeners("documents", number))
    assert all(0 <= moment < DOCUMENTS_S for moment in moments)
    assert min(later - sooner for sooner, later in pairwise(moments)) > DOCUMENTS_S / number / 3


def test_a_moment_comes_round_once_in_the_pace() -> None:
    [listener] = listeners("documents", 1)
    assert listener.wait_s(1000.0) == pytest.approx(listener.wait_s(1000.0 + 7 * DOCUMENTS_S))


def test_what_is_said_in_a_conversation_waits_for_nothing() -> None:
    [listener] = listeners("chat", 1)
    assert listener.wait_s(1000.3) == 0
