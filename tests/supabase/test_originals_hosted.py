"""What only Storage's own server can show: that it asks our policies when people come with their own tokens.

On the database itself they are tested everywhere (test_originals_policies.py); the stub of Storage asks nothing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx
import pytest

from rag.corpus.bucket import Bucket
from rag.corpus.collections import create_collection
from rag.corpus.documents import store_document
from rag.work.moving_originals import Mover
from tests.supabase.stack import Person, Project

DATA = b"A pump hums."


@pytest.fixture(scope="module")
def stored(project: Project) -> Iterator[str]:
    """Where the original of a document of Alice's is."""
    if not project.hosted:
        pytest.skip("Storage itself is not here: its stub knows the server's key alone")
    bucket = Bucket(project.url, project.secret_key, "corpuscope-tests")
    bucket.ensure()
    with project.database.as_user(project.alice.id) as conn:
        collection = create_collection(conn, "Originals")
        made = store_document(conn, collection, "a.txt", io.BytesIO(DATA), max_bytes=100)
    with project.database.as_owner() as conn:
        conn.execute("update public.documents set stage = 'failed' where id = %s", [made.document_id])
    try:
        while Mover(project.database, bucket).move_next(to_bucket=True):
            continue
        with project.database.as_owner() as conn:
            row = conn.execute("select original_object from public.documents where id = %s", [made.document_id])
            (found,) = row.fetchone() or ("",)
        yield str(found)
        bucket.remove([str(found)])
    finally:
        with project.database.as_owner() as conn:
            conn.execute("delete from public.collections where id = %s", [collection])
        bucket.close()


def ask(
    project: Project, method: str, object: str, person: Person | None, content: bytes | None = None
) -> httpx.Response:
    headers = {"apikey": project.publishable_key, "Authorization": f"Bearer {person.token if person else ''}"}
    way = "authenticated/" if method == "GET" else ""
    address = f"{project.url}/storage/v1/object/{way}{object}"
    return httpx.request(method, address, headers=headers, timeout=20, content=content)


def test_whoever_sees_the_document_reads_its_original(project: Project, stored: str) -> None:
    assert ask(project, "GET", stored, project.alice).content == DATA
    assert ask(project, "GET", stored, project.bob).is_error
    assert ask(project, "GET", stored, None).is_error


def test_nobody_writes_with_a_persons_token(project: Project, stored: str) -> None:
    new = stored.rpartition("/")[0] + "/mine"
    for person in (project.alice, project.bob):
        assert ask(project, "POST", new, person, content=b"mine").is_error
        assert ask(project, "PUT", stored, person, content=b"mine").is_error
        ask(project, "DELETE", stored, person)
    assert ask(project, "GET", stored, project.alice).content == DATA
