"""What is kept of how an answer came about."""

from __future__ import annotations

import json
from uuid import UUID

from rag.chat.snapshots import SearchedPlace, Snapshot, read_snapshot
from rag.retrieval.profiles import RetrievalProfile

MADE = Snapshot(
    profile=RetrievalProfile(k=3).to_json(),
    indexes=[SearchedPlace(UUID(int=7), "Pumps", 3, "all-MiniLM-L6-v2")],
    found=6,
    kept=2,
    left_out=[3],
    retrieval_seconds=0.12,
    prompt_tokens=900,
    completion_tokens=40,
    exact_tokens=True,
    tokens_per_second=33.3,
)


def test_a_snapshot_comes_back_as_it_was_stored() -> None:
    stored = json.loads(json.dumps(MADE.to_json()))
    assert stored["indexes"] == [
        {"collection": str(UUID(int=7)), "collection_name": "Pumps", "index": 3, "model": "all-MiniLM-L6-v2"}
    ]
    assert read_snapshot(stored) == MADE


def test_what_another_version_kept_is_read_as_far_as_it_is_known() -> None:
    assert read_snapshot(None) is None
    assert read_snapshot({}) == Snapshot({}, [], 0, 0)
    read = read_snapshot({"found": 4, "weather": "fair"})
    assert read is not None
    assert (read.found, read.kept, read.left_out) == (4, 0, [])
