"""What the instant API answers when something is refused: the table of docs/api.md, by HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.supabase.served import Row, Served, served
from tests.supabase.stack import EXPOSED, Project

GUIDE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def api(project: Project) -> Iterator[Served]:
    with served(project) as running:
        yield running


@pytest.fixture(scope="module")
def sea(api: Served) -> str:
    collection = api.collection(api.as_alice())
    api.document(api.as_alice(), collection, "whale.txt", "A whale.")
    return collection


def documented() -> set[tuple[int, str]]:
    """The pairs of status and code in the guide's table."""
    found = set()
    for status, codes in re.findall(r"^\| (\d{3}) \| ([^|]+) \|", GUIDE, re.MULTILINE):
        found |= {(int(status), code) for code in re.findall(r"`(\w+)`", codes)}
    return found


def post(api: Served, path: str, body: Row, token: str = "", schema: str = EXPOSED) -> tuple[int, str]:
    """Status and code of what Alice, or somebody else's token, is answered."""
    key = api.project.publishable_key
    headers = {"apikey": key, "Authorization": f"Bearer {token or api.project.alice.token}", "Content-Profile": schema}
    answer = httpx.post(f"{api.project.url}/rest/v1/{path}", headers=headers, json=body)
    said: dict[str, Any] = answer.json()
    assert said["message"], said
    return answer.status_code, said["code"]


def test_each_refusal_has_the_status_that_the_guide_says(api: Served, sea: str) -> None:
    project = api.project
    found = {
        post(api, "rpc/search_chunks", {}),
        post(api, "rpc/search_chunks", {"embedding": [1, 2], "collection": sea}),
        post(api, "rpc/search_chunks", {"query": "x"}, project.publishable_key),
        post(api, "rpc/search_chunks", {"query": "x"}, project.forged(project.alice.id)),
        post(api, "documents", {"collection_id": sea, "name": "x", "text": "y"}, project.bob.token),
        post(api, "rpc/search_chunks", {"query": "x", "collection": sea}, project.bob.token),
        post(api, "documents", {"collection_id": sea, "name": "x", "text": "y"}, schema="public"),
        post(api, "documents", {"collection_id": sea, "name": "x", "text": "A whale."}),
        post(api, "documents", {"collection_id": sea, "name": "x", "text": "word " * 2_000_001}),
        _over_the_limit(api, sea),
    }
    assert found == documented()


def _over_the_limit(api: Served, sea: str) -> tuple[int, str]:
    with api.project.database.as_owner() as conn:
        conn.execute("insert into corpuscope.limits (scope, subject, files) values ('collection', %s, 1)", [sea])
    return post(api, "documents", {"collection_id": sea, "name": "x", "text": "one too many"})


def test_what_one_may_not_see_is_an_empty_list(api: Served, sea: str) -> None:
    headers = {"apikey": api.project.publishable_key, "Authorization": f"Bearer {api.project.bob.token}"}
    for method in ("GET", "DELETE"):
        answer = httpx.request(
            method,
            f"{api.project.url}/rest/v1/documents?collection_id=eq.{sea}",
            headers=headers
            | {"Accept-Profile": EXPOSED, "Content-Profile": EXPOSED, "Prefer": "return=representation"},
        )
        assert (answer.status_code, answer.json()) == (200, [])
