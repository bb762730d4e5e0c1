"""A map's points as the browser gets them: eight bytes each, under the policies of whoever asks, and cached rightly."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from rag.auth.identity import Identity
from rag.auth.secret_tokens import Signer
from rag.errors import NotFound
from rag.mapping.maps import CorpusMap
from rag.mapping.payload import (
    HOLE,
    MAGIC,
    NO_LEAF,
    PLACE_BYTES,
    document_ordinals,
    encode_points,
    points_version,
)
from rag.settings import Settings
from rag.store.database import Database
from rag.web.entrance import Entrance
from rag.web.gate import SessionGate
from rag.web.points import routes
from tests.conftest import ALICE, BOB, temporary_home
from tests.integration.door import make_collection, make_first
from tests.integration.handmade_map import draw_map
from tests.integration.searchable import add_document
from tests.integration.townsfolk import run_as_owner
from tests.integration.webapp import SESSION

SECRET = "zanzibar"


class Drawn(NamedTuple):
    """Alice's map of two documents with six and four chunks, and its collection."""

    collection: UUID
    documents: list[UUID]
    chunks: list[int]
    map: CorpusMap


@pytest.fixture
def drawn(database: Database) -> Drawn:
    return draw(database, ALICE)


def draw(database: Database, owner: UUID) -> Drawn:
    collection = make_collection(database, owner)
    documents, chunks = [], []
    for name, count in (("owls.txt", 6), ("elks.txt", 4)):
        texts = [f"{SECRET} chunk {number} of {name}. " + "Feathers and antlers. " * 20 for number in range(count)]
        vectors = [[1.0, 0.1 * number, 0.0, 0.0] for number in range(count)]
        document, ids = add_document(database, collection, texts, name=name, vectors=vectors, index=False)
        documents.append(document)
        chunks += ids
    return Drawn(collection, documents, chunks, draw_map(database, collection, owner))


class Decoded(NamedTuple):
    header: dict[str, int]
    x: npt.NDArray[np.uint16]
    y: npt.NDArray[np.uint16]
    leaf: npt.NDArray[np.uint16]
    document: npt.NDArray[np.uint16]


def decode(payload: bytes) -> Decoded:
    """As corpuscope/map/source/payload.js does it."""
    assert payload.startswith(MAGIC)
    begin = len(MAGIC) + 4
    length = int.from_bytes(payload[len(MAGIC) : begin], "little")
    assert (begin + length) % PLACE_BYTES == 0
    header = json.loads(payload[begin : begin + length])
    columns = np.frombuffer(payload, "<u2", offset=begin + length).reshape(4, header["places"])
    return Decoded(header, *columns)


def test_every_point_takes_eight_bytes_and_nothing_else_grows(database: Database, drawn: Drawn) -> None:
    with database.as_user(ALICE) as conn:
        payload = encode_points(conn, drawn.map.id)
        ordinals = document_ordinals(conn, drawn.map.id)
    found = decode(payload)
    assert len(payload) - PLACE_BYTES * 10 <= 128
    assert found.header == {
        "map": drawn.map.id, "version": drawn.map.version, "places": 10, "points": 10, "documents": 2,
    }  # fmt: skip
    assert found.x.tolist() == [1000 * n for n in range(10)]
    assert set(found.y.tolist()) == {0}
    assert found.leaf.tolist() == [n % 4 for n in range(10)]
    assert ordinals == drawn.documents
    assert found.document.tolist() == [0] * 6 + [1] * 4


def test_a_point_that_is_gone_leaves_a_hole_and_one_in_no_cluster_says_so(database: Database, drawn: Drawn) -> None:
    run_as_owner(database, "delete from chunks where id = %s", drawn.chunks[2])
    run_as_owner(database, "update map_points set leaf = -1 where chunk_id = %s", drawn.chunks[3])
    with database.as_user(ALICE) as conn:
        found = decode(encode_points(conn, drawn.map.id))
    assert (found.x[2], found.y[2], found.leaf[2]) == (65535, 65535, HOLE)
    assert found.leaf[3] == NO_LEAF
    assert found.header["places"] == 10
    assert found.header["points"] == 9


def test_a_map_without_a_point_is_a_header(database: Database, drawn: Drawn) -> None:
    run_as_owner(database, "delete from map_points where map_id = %s", drawn.map.id)
    with database.as_user(ALICE) as conn:
        found = decode(encode_points(conn, drawn.map.id))
    assert found.header["places"] == found.header["points"] == len(found.x) == 0


def test_the_version_changes_with_the_points(database: Database, drawn: Drawn) -> None:
    seen = []
    for statement in (
        "select 1",
        f"delete from chunks where id = {drawn.chunks[0]}",
        "update maps set version = version + 1",
    ):
        run_as_owner(database, statement)
        with database.as_user(ALICE) as conn:
            seen.append(str(points_version(conn, drawn.map.id)))
    assert len(set(seen)) == 3


def test_a_stranger_gets_no_point_and_no_version(database: Database, drawn: Drawn) -> None:
    for read in (encode_points, points_version):
        with database.as_user(BOB) as conn, pytest.raises(NotFound):
            read(conn, drawn.map.id)
    with database.as_user(BOB) as conn:
        assert document_ordinals(conn, drawn.map.id) == []


@contextmanager
def asking(database: Database | None, person: UUID) -> Iterator[TestClient]:
    """A browser of somebody whom the routes know, as where nobody signs in."""
    everybody = Identity(person, "", is_administrator=True)
    with TestClient(Starlette(routes=routes(lambda: database, everybody))) as browser:
        yield browser


def addresses(map_id: int) -> list[str]:
    return [
        f"/api/maps/{map_id}/{path}" for path in ("points", "channel/excluded", "channel/text?text=owls", "point/0")
    ]


def test_points_come_zipped_and_once(database: Database, drawn: Drawn) -> None:
    with asking(database, ALICE) as browser:
        first = browser.get(f"/api/maps/{drawn.map.id}/points?v=1")
        again = browser.get(f"/api/maps/{drawn.map.id}/points?v=1", headers={"If-None-Match": first.headers["etag"]})
        run_as_owner(database, "delete from chunks where id = %s", drawn.chunks[0])
        later = browser.get(f"/api/maps/{drawn.map.id}/points?v=1", headers={"If-None-Match": first.headers["etag"]})
    assert first.status_code == 200
    assert first.headers["content-encoding"] == "gzip"
    assert "private" in first.headers["cache-control"]
    assert decode(first.content).header["points"] == 10
    assert (again.status_code, again.content) == (304, b"")
    assert (later.status_code, decode(later.content).header["points"]) == (200, 9)


def test_without_gzip_points_come_as_they_are(database: Database, drawn: Drawn) -> None:
    with asking(database, ALICE) as browser:
        answer = browser.get(f"/api/maps/{drawn.map.id}/points", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in answer.headers
    assert decode(answer.content).header["points"] == 10
    assert gzip.compress(answer.content)


def test_a_channel_has_a_byte_for_each_place(database: Database, drawn: Drawn) -> None:
    with asking(database, ALICE) as browser:
        channel = browser.get(f"/api/maps/{drawn.map.id}/channel/text?text=owls")
        again = browser.get(
            f"/api/maps/{drawn.map.id}/channel/text?text=owls", headers={"If-None-Match": channel.headers["etag"]}
        )
        odd = browser.get(f"/api/maps/{drawn.map.id}/channel/no-such-thing")
    assert list(channel.content) == [1] * 6 + [0] * 4
    assert again.status_code == 304
    assert odd.status_code == 400


def test_a_point_says_its_document_and_its_first_words(database: Database, drawn: Drawn) -> None:
    with asking(database, ALICE) as browser:
        said = browser.get(f"/api/maps/{drawn.map.id}/point/7").json()
    assert (said["title"], said["chunk"], said["place"]) == ("elks.txt", drawn.chunks[7], 7)
    assert said["text"].startswith(f"{SECRET} chunk 1 of elks.txt.")
    assert len(said["text"]) <= 281
    assert said["link"] == f"/document?document={drawn.documents[1]}&start=200&end=250"


def test_a_stranger_gets_what_a_missing_map_gives(database: Database, drawn: Drawn) -> None:
    with asking(database, BOB) as browser:
        for there, missing in zip(addresses(drawn.map.id), addresses(drawn.map.id + 999), strict=True):
            answers = [browser.get(there), browser.get(missing)]
            assert [answer.status_code for answer in answers] == [404, 404], there
            assert answers[0].text == answers[1].text
            assert SECRET not in answers[0].text
            assert "etag" not in answers[0].headers


def test_no_tag_of_one_person_is_good_for_another(database: Database, drawn: Drawn) -> None:
    run_as_owner(
        database, "insert into collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')",
        drawn.collection, BOB,
    )  # fmt: skip
    tags = []
    for person in (ALICE, BOB):
        with asking(database, person) as browser:
            tags.append(browser.get(f"/api/maps/{drawn.map.id}/points").headers["etag"])
    assert len(set(tags)) == 2


@pytest.mark.parametrize("path", ["99999999999999999999/points", "99999999999999999999/point/99999999999999999999"])
def test_numbers_beyond_all_maps_are_missing_maps(database: Database, path: str) -> None:
    with asking(database, ALICE) as browser:
        assert browser.get(f"/api/maps/{path}").status_code == 404


def test_until_the_database_answers_the_browser_is_told_to_come_again() -> None:
    with asking(None, ALICE) as browser:
        assert browser.get("/api/maps/1/points").status_code == 503


def test_the_gate_says_who_asks(database: Database) -> None:
    token, session = make_first(database)
    drawn = draw(database, session.identity.user_id)
    with temporary_home() as home:
        home.mkdir()
        entrance = Entrance(Settings(_env_file=None, corpuscope_home=home, auth="local"), lambda: database)
        app = Starlette(routes=routes(lambda: database), middleware=[Middleware(SessionGate, entrance=entrance)])
        with TestClient(app, follow_redirects=False) as browser:
            assert [browser.get(address).status_code for address in addresses(drawn.map.id)] == [401] * 4
            signed = Signer(entrance.key, purpose=SESSION).sign(token)
            browser.cookies.set(SESSION, signed, domain="testserver.local")
            answers = [browser.get(address) for address in addresses(drawn.map.id)]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert decode(answers[0].content).header["points"] == 10


def test_behind_no_gate_and_without_a_person_nothing_is_answered(database: Database, drawn: Drawn) -> None:
    with TestClient(Starlette(routes=routes(lambda: database))) as browser:
        assert {browser.get(address).status_code for address in addresses(drawn.map.id)} == {401}
