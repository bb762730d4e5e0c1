"""The instant API over a real PostgREST, with supabase-py: everybody sees exactly what they may."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from postgrest import CountMethod
from postgrest.exceptions import APIError

from tests.supabase.served import Row, Served, insert, read, rows, search, served, wait_for
from tests.supabase.stack import Project

WHALES = "# Whales\n\nThe blue whale is the largest animal. It feeds on krill."


@pytest.fixture(scope="module")
def api(project: Project) -> Iterator[Served]:
    with served(project) as running:
        yield running


@pytest.fixture(scope="module")
def sea(api: Served) -> str:
    """Alice's collection with one document about whales."""
    collection = api.collection(api.as_alice())
    api.document(api.as_alice(), collection, "whales.md", WHALES)
    return collection


def refusal(call: Any) -> APIError:
    with pytest.raises(APIError) as refused:
        call()
    return refused.value


# Documents -----------------------------------------------------------------------------------------------------------


def test_an_inserted_text_is_found_with_its_place(api: Served, sea: str) -> None:
    [hit] = search(api.as_alice(), query="what do whales eat: krill?", collection=sea)
    assert hit["document_name"] == "whales.md"
    assert "krill" in hit["content"]
    [document] = read(api.as_alice(), "documents", "text", id=hit["document_id"])
    assert document["text"][hit["start_char"] : hit["end_char"]] == hit["content"]


def test_select_filters_counts_and_follows_relations(api: Served, sea: str) -> None:
    alice = api.as_alice()
    found = (
        alice.table("documents")
        .select("name,collections(name,my_role)", count=CountMethod.exact)
        .eq("collection_id", sea)
        .ilike("name", "WHALE%")
        .execute()
    )
    assert found.count == 1
    [document] = rows(found.data)
    assert document["name"] == "whales.md"
    assert document["collections"]["my_role"] == "owner"
    [chunk] = read(alice, "chunks", "content,embedded,excluded,documents(name)", collection_id=sea)
    assert (chunk["embedded"], chunk["excluded"], chunk["documents"]) == (True, False, {"name": "whales.md"})


def test_the_same_text_again_is_a_conflict_that_names_the_document(api: Served, sea: str) -> None:
    again = refusal(lambda: insert(api.as_alice(), "documents", collection_id=sea, name="again.md", text=WHALES))
    assert again.code == "23505"
    assert again.message == "The collection has this text already: “whales.md”."
    assert again.details == read(api.as_alice(), "documents", "id", collection_id=sea)[0]["id"]


def test_a_deleted_document_lies_in_the_trash_and_its_text_brings_it_back(api: Served) -> None:
    alice = api.as_alice()
    collection = api.collection(alice)
    document = api.document(alice, collection, "seal.txt", "A seal sleeps on the ice.")
    alice.table("documents").delete().eq("id", document).execute()
    assert read(alice, "documents", "id", collection_id=collection) == []
    assert search(alice, query="seal", collection=collection) == []
    back = insert(alice, "documents", collection_id=collection, name="other.txt", text="A seal sleeps on the ice.")
    assert (back["id"], back["name"]) == (document, "seal.txt")
    wait_for(lambda: len(search(alice, query="seal", collection=collection)) == 1)


def test_a_new_version_takes_the_place_of_the_old_one(api: Served) -> None:
    alice = api.as_alice()
    collection = api.collection(alice)
    first = api.document(alice, collection, "tide.txt", "High tide comes at noon.")
    newer = insert(
        alice, "documents", collection_id=collection, name="tide.txt", text="High tide comes at one.", replaces=first
    )
    wait_for(
        lambda: [row["id"] for row in read(alice, "documents", "id,stage", collection_id=collection)] == [newer["id"]]
    )
    wait_for(lambda: api.stage(alice, newer["id"]) == "ready")
    assert [hit["content"] for hit in search(alice, query="tide", collection=collection)] == ["High tide comes at one."]


def test_a_version_that_was_not_ready_yet_is_replaced_with_what_it_would_have_replaced(api: Served) -> None:
    alice = api.as_alice()
    collection = api.collection(alice)
    first = api.document(alice, collection, "ebb.txt", "Ebb comes at noon.")
    with api.project.database.as_owner() as conn:  # as if all workers were busy
        made = conn.execute(
            "insert into public.documents (collection_id, name, size, sha256, replaces, paused)"
            " values (%s, 'ebb.txt', 1, sha256('1'), %s, true) returning id",
            [collection, first],
        ).fetchone()
    assert made is not None
    last = insert(
        alice, "documents", collection_id=collection, name="ebb.txt", text="Ebb comes at two.", replaces=str(made[0])
    )
    assert last["replaces"] == first
    wait_for(lambda: [row["id"] for row in read(alice, "documents", "id", collection_id=collection)] == [last["id"]])


def test_only_a_document_of_the_collection_can_be_replaced(api: Served, sea: str) -> None:
    [whales] = read(api.as_alice(), "documents", "id", collection_id=sea)
    bob = api.as_bob()
    own = api.collection(bob)
    refused = refusal(lambda: insert(bob, "documents", collection_id=own, name="x", text="mine", replaces=whales["id"]))
    assert refused.code == "PT404"
    assert read(api.as_alice(), "documents", "id", collection_id=sea) == [whales]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "a.txt"}, "A document needs a collection_id, a name and a text."),
        ({"name": "a.txt", "text": " \n "}, "A document needs a collection_id, a name and a text."),
        ({"text": "words"}, "A document needs a collection_id, a name and a text."),
        ({"name": "a.txt", "text": "word " * 2_000_001}, "A text has at most 10 MB here."),
    ],
)
def test_what_can_not_be_a_document_is_refused_in_words(
    api: Served, sea: str, values: dict[str, str], words: str
) -> None:
    assert refusal(lambda: insert(api.as_alice(), "documents", collection_id=sea, **values)).message == words


def test_names_are_made_harmless(api: Served) -> None:
    alice = api.as_alice()
    collection = api.collection(alice)
    given = {"../../etc/pass\x07wd\u202e.txt": "passwd.txt", " . ": "unnamed", "a" * 300: "a" * 255, "x\\ y  z": "y z"}
    for n, (raw, shown) in enumerate(given.items()):
        made = insert(alice, "documents", collection_id=collection, name=raw, text=f"text {n}")
        assert made["name"] == shown
        changed = alice.table("documents").update({"name": raw}).eq("id", made["id"]).execute()
        assert [row["name"] for row in rows(changed.data)] == [shown]
    alice.table("documents").update({"title": "A title"}).eq("id", made["id"]).execute()
    assert read(alice, "documents", "name,title", id=made["id"]) == [{"name": shown, "title": "A title"}]


def test_a_long_text_arrives_as_it_was(api: Served) -> None:
    """Longer than one piece of a file, and cut in the middle of a character."""
    alice = api.as_alice()
    collection = api.collection(alice)
    text = "é" + "Grüße aus dem Hafen. 🐋 " * 60_000
    made = insert(alice, "documents", collection_id=collection, name="long.txt", text=text)
    with api.project.database.as_user(api.project.alice.id) as conn:
        parts = conn.execute(
            "select data from public.document_files where document_id = %s order by part", [made["id"]]
        ).fetchall()
    assert len(parts) > 1
    assert b"".join(part[0] for part in parts).decode() == text
    alice.table("documents").delete().eq("id", made["id"]).execute()  # the worker needn't embed it


# Who may -------------------------------------------------------------------------------------------------------------


def test_somebody_else_sees_nothing_and_adds_nothing(api: Served, sea: str) -> None:
    bob = api.as_bob()
    for table in ("collections", "documents", "chunks", "chats", "messages", "sources", "evaluation_sets"):
        assert read(bob, table, "*", **({"id": sea} if table == "collections" else {})) == []
    assert refusal(lambda: search(bob, query="krill", collection=sea)).code == "PT404"
    assert search(bob, query="krill") == []
    refused = refusal(lambda: insert(bob, "documents", collection_id=sea, name="x.txt", text="mine"))
    assert refused.code == "42501"
    assert refused.message == "That collection does not exist, or you may not add to it."
    assert bob.table("documents").update({"name": "x"}).eq("collection_id", sea).execute().data == []
    assert bob.table("documents").delete().eq("collection_id", sea).execute().data == []
    assert bob.table("collections").update({"name": "x"}).eq("id", sea).execute().data == []


def test_a_viewer_searches_but_does_not_add(api: Served) -> None:
    alice, bob = api.as_alice(), api.as_bob()
    collection = api.collection(alice)
    document = api.document(alice, collection, "otter.txt", "An otter holds hands while it sleeps.")
    api.share(collection, api.project.bob.id, "viewer")
    assert [hit["document_id"] for hit in search(bob, query="otter", collection=collection)] == [document]
    assert read(bob, "collections", "my_role", id=collection) == [{"my_role": "viewer"}]
    assert refusal(lambda: insert(bob, "documents", collection_id=collection, name="x", text="mine")).code == "42501"
    assert refusal(lambda: bob.table("documents").delete().eq("id", document).execute()).code == "42501"
    assert bob.table("documents").update({"name": "x"}).eq("id", document).execute().data == []
    assert read(alice, "documents", "name", id=document) == [{"name": "otter.txt"}]
    with api.project.database.as_owner() as conn:  # and access that is taken away is gone with the next request
        conn.execute("delete from public.collection_members where collection_id = %s and role = 'viewer'", [collection])
    assert refusal(lambda: search(bob, query="otter", collection=collection)).code == "PT404"


def test_the_publishable_key_alone_opens_nothing(api: Served, sea: str) -> None:
    nobody = api.project.client()
    assert refusal(lambda: read(nobody, "collections")).code == "42501"
    assert refusal(lambda: search(nobody, query="krill", collection=sea)).code == "42501"
    assert refusal(lambda: insert(nobody, "documents", collection_id=sea, name="x", text="y")).code == "42501"


def test_a_forged_token_is_nobodys(api: Served, sea: str) -> None:
    alice = api.project.alice
    claims = {"sub": str(alice.id), "role": "service_role", "exp": int(time.time()) + 99}
    as_server, unsigned = jwt.encode(claims, "not the secret " * 4, "HS256"), jwt.encode(claims, "", "none")
    for token in (api.project.forged(alice.id), as_server, unsigned):
        client = api.project.client(token)
        for call in (
            lambda c=client: read(c, "collections"),
            lambda c=client: search(c, query="krill", collection=sea),
        ):
            assert refusal(call).code in ("PGRST301", "PGRST302", "401")


def test_what_people_write_into_their_own_token_opens_nothing(api: Served, sea: str) -> None:
    """user_metadata is the person's own to write; expired tokens are refused."""
    if api.project.hosted:
        pytest.skip("a hosted project signs its own tokens: none can be made with chosen claims")
    bob = api.project.bob.id
    claims: Row = {"user_metadata": {"sub": str(api.project.alice.id), "role": "service_role", "collections": [sea]}}
    boasting = api.project.client(api.project.token(bob, **claims))
    assert read(boasting, "collections", id=sea) == []
    assert refusal(lambda: search(boasting, query="krill", collection=sea)).code == "PT404"
    expired = api.project.client(api.project.token(api.project.alice.id, exp=int(time.time()) - 60))
    assert refusal(lambda: read(expired, "collections")).code in ("PGRST301", "PGRST303")


def test_a_guest_reads_what_is_public_and_makes_nothing(api: Served) -> None:
    if api.project.hosted:
        pytest.skip("guests sign in anonymously, which a project may not allow")
    alice = api.as_alice()
    collection = api.collection(alice)
    document = api.document(alice, collection, "crab.txt", "A crab walks sideways.")
    guest = api.project.client(api.project.token(api.project.bob.id, is_anonymous=True))
    assert read(guest, "documents", "id", id=document) == []
    with api.project.database.as_owner() as conn:
        conn.execute("update public.collections set is_public = true where id = %s", [collection])
    assert [hit["document_id"] for hit in search(guest, query="crab", collection=collection)] == [document]
    assert refusal(lambda: insert(guest, "collections", name="Mine")).code == "42501"
    assert refusal(lambda: insert(guest, "documents", collection_id=collection, name="x", text="y")).code == "42501"


def test_a_servers_key_adds_documents_and_is_nobody_else(api: Served) -> None:
    alice, server = api.as_alice(), api.project.client(key=api.project.secret_key)
    collection = api.collection(alice)
    made = api.document(server, collection, "tern.txt", "A tern flies from pole to pole.")
    assert [hit["document_id"] for hit in search(alice, query="tern", collection=collection)] == [made]
    for where in ({}, {"collection": collection}):
        nobody = refusal(lambda w=where: search(server, query="tern", **w))
        assert (nobody.code, nobody.hint) == ("PT404", "Search with the token of a person.")
    assert refusal(lambda: server.table("documents").delete().eq("id", made).execute()).code == "42501"


def test_other_schemas_are_not_there(api: Served) -> None:
    for schema in ("public", "corpuscope", "auth", "pgmq"):
        client = api.as_alice().schema(schema)
        assert refusal(lambda c=client: c.from_("documents").select("*").execute()).code == "PGRST106"
