"""Searching and asking over the instant API: by words, by a vector, by both; questions in, answers with sources out."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from postgrest.exceptions import APIError

from rag.chat.pooling import Leg, pool_hits
from rag.retrieval import stored_profiles
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.search import search as search_with_profile
from tests.supabase.served import Row, Served, insert, read, search, served, wait_for
from tests.supabase.stack import Project

TEXTS = {
    "whales.md": "# Whales\n\nThe blue whale is the largest animal. It feeds on krill.",
    "seals.md": "# Seals\n\nA seal sleeps on the ice and feeds on fish, squid and krill.",
    "tides.md": "# Tides\n\nHigh tide comes twice a day. The moon pulls at the sea.",
}
QUESTION = "What feeds on krill?"


@pytest.fixture(scope="module")
def api(project: Project) -> Iterator[Served]:
    with served(project) as running:
        yield running


@pytest.fixture(scope="module")
def sea(api: Served) -> str:
    collection = api.collection(api.as_alice())
    for name, text in TEXTS.items():
        api.document(api.as_alice(), collection, name, text)
    return collection


def vector(api: Served, text: str) -> list[float]:
    return [float(value) for value in api.embedder.embed_question(text)]


def ids(hits: list[Row]) -> list[int]:
    return [hit["chunk_id"] for hit in hits]


def hits_of(api: Served, collection: str, question: str, profile: RetrievalProfile, with_vector: bool) -> list[int]:
    """What the app finds."""
    given = api.embedder.embed_question(question) if with_vector else None
    with api.project.database.as_user(api.project.alice.id) as conn:
        return [hit.chunk_id for hit in search_with_profile(conn, UUID(collection), question, given, profile)]


def random_mean(api: Served) -> float | None:
    """What unrelated texts score under the worker's model."""
    with api.project.database.as_owner() as conn:
        row = conn.execute(
            "select random_mean from public.embedding_models where name = %s", [api.embedder.info.name]
        ).fetchone()
    return None if row is None else row[0]


@pytest.mark.parametrize("mode", ["lexical", "dense", "hybrid"])
def test_each_mode_finds_what_the_app_finds(api: Served, sea: str, mode: str) -> None:
    arguments: Row = {} if mode == "dense" else {"query": QUESTION}
    if mode != "lexical":
        arguments["embedding"] = vector(api, QUESTION)
    found = search(api.as_alice(), collection=sea, **arguments)
    expected = hits_of(api, sea, QUESTION, RetrievalProfile(mode=mode), mode != "lexical")  # type: ignore[arg-type]
    assert ids(found) == expected
    assert len(found) == (2 if mode == "lexical" else 3)
    assert [hit["rank"] for hit in found] == list(range(1, len(found) + 1))
    assert all((hit["similarity"] is None) == (mode == "lexical") for hit in found)


def test_a_vector_may_be_a_list_or_its_text(api: Served, sea: str) -> None:
    given = vector(api, "x")
    assert ids(search(api.as_alice(), embedding=given, collection=sea)) == ids(
        search(api.as_alice(), embedding=str(given), collection=sea)
    )


def test_the_collections_default_profile_is_used(api: Served, sea: str) -> None:
    wanted = RetrievalProfile(mode="lexical", k=50, threshold=0.99, dense_weight=0.1)
    with api.project.database.as_user(api.project.alice.id) as conn:
        stored_profiles.save_profile(conn, UUID(sea), "strict", wanted, make_default=True)
    try:
        assert search(api.as_alice(), query=QUESTION, embedding=vector(api, QUESTION), collection=sea) == []
        [chunk] = read(api.as_alice(), "chunks", "content,documents!inner(name)", **{"documents.name": "tides.md"})
        exact = vector(api, f"{chunk['content']}")
        found = search(api.as_alice(), query=QUESTION, embedding=exact, collection=sea)
        assert [hit["similarity"] for hit in found] == pytest.approx([1], abs=1e-3)
    finally:
        with api.project.database.as_user(api.project.alice.id) as conn:
            stored_profiles.undo_default(conn, UUID(sea))


def test_documents_and_top_k_restrict_a_search(api: Served, sea: str) -> None:
    [seals] = read(api.as_alice(), "documents", "id", collection_id=sea, name="seals.md")
    found = search(api.as_alice(), query="krill", collection=sea, documents=[seals["id"]])
    assert [hit["document_name"] for hit in found] == ["seals.md"]
    assert len(search(api.as_alice(), query="krill", collection=sea, top_k=1)) == 1


@pytest.mark.parametrize("mode", ["lexical", "dense", "hybrid"])
def test_without_a_collection_all_are_asked_and_pooled_as_chats_do(api: Served, sea: str, mode: str) -> None:
    alice = api.as_alice()
    other = api.collection(alice)
    try:
        api.document(alice, other, "krill.md", "# Krill\n\nKrill drifts in swarms and feeds on algae.")
        api.document(alice, other, "whales.md", TEXTS["whales.md"])  # the same words count once
        profile = RetrievalProfile(mode=mode, k=50)  # type: ignore[arg-type]
        question = api.embedder.embed_question(QUESTION)
        legs = []
        wait_for(lambda: random_mean(api) is not None)  # measured by the worker once
        mean = random_mean(api) or 0.0
        with api.project.database.as_user(api.project.alice.id) as conn:
            for id in (sea, other):
                legs.append(Leg(search_with_profile(conn, UUID(id), QUESTION, question, profile), mean))
        pooled = pool_hits(legs, profile)
        arguments = {} if mode == "dense" else {"query": QUESTION}
        found = search(alice, **arguments, **({} if mode == "lexical" else {"embedding": vector(api, QUESTION)}))
        assert [(hit["content"], hit["rank"]) for hit in found] == [(one.hit.text, one.hit.rank) for one in pooled]
        assert [hit["score"] for hit in found] == pytest.approx([one.hit.score for one in pooled], abs=1e-4)
        assert {hit["collection_id"] for hit in found} == {sea, other}
    finally:
        with api.project.database.as_owner() as conn:
            conn.execute("delete from public.collections where id = %s", [other])


def test_a_read_only_request_searches_too(api: Served, sea: str) -> None:
    """GET: what a cache may keep, and what a read replica answers."""
    found = httpx.get(
        f"{api.project.url}/rest/v1/rpc/search_chunks",
        params={"query": "krill", "collection": sea, "select": "document_name", "limit": "1"},
        headers={
            "apikey": api.project.publishable_key,
            "Authorization": f"Bearer {api.project.alice.token}",
            "Accept-Profile": "api",
        },
    )
    assert found.status_code == 200
    assert len(found.json()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "A search needs a query, an embedding or both."),
        ({"query": "  "}, "A search needs a query, an embedding or both."),
        ({"query": "a" * 8001}, "A query has at most 8,000 characters."),
        ({"query": "a", "top_k": 0}, "A search returns between 1 and 1,000 chunks."),
        ({"query": "a", "top_k": None}, "A search returns between 1 and 1,000 chunks."),
        ({"query": "a", "documents": []}, "Say in which collection these documents are."),
    ],
)
def test_what_can_not_be_searched_is_refused_in_words(api: Served, sea: str, arguments: Row, words: str) -> None:
    with pytest.raises(APIError) as refused:
        search(api.as_alice(), **arguments)
    assert refused.value.message == words


def test_a_vector_of_another_model_is_refused(api: Served, sea: str) -> None:
    with pytest.raises(APIError, match="The vector of the question has 2 dimensions"):
        search(api.as_alice(), embedding=[1, 2], collection=sea)
    [collection] = read(api.as_alice(), "collections", "embedding_model,dimensions", id=sea)
    assert collection == {"embedding_model": api.embedder.info.name, "dimensions": api.embedder.info.dimensions}


def test_one_vector_is_not_right_for_two_models(api: Served, sea: str) -> None:
    alice = api.as_alice()
    other = api.collection(alice)
    with api.project.database.as_owner() as conn:
        conn.execute("select corpuscope.register_model('local', 'another', 2, 64, '', '')")
        conn.execute(
            "update public.indexes set model_id = (select id from public.embedding_models where name = 'another')"
            " where collection_id = %s",
            [other],
        )
    try:
        with pytest.raises(APIError, match="different embedding models"):
            search(alice, embedding=vector(api, "x"))
        assert len(search(alice, query="krill")) == 2
    finally:
        with api.project.database.as_owner() as conn:
            conn.execute("delete from public.collections where id = %s", [other])


def test_too_many_collections_must_be_chosen_from(api: Served, sea: str) -> None:
    alice = api.as_alice()
    made = [api.collection(alice, f"Many {n}") for n in range(20)]
    try:
        with pytest.raises(APIError, match="You may see more than 20 collections"):
            search(alice, query="krill")
    finally:
        with api.project.database.as_owner() as conn:
            conn.execute("delete from public.collections where id = any (%s::uuid[])", [made])


def test_chunks_are_those_that_answer(api: Served, sea: str) -> None:
    """An index that is being built beside the active one has chunks of the same documents: nobody wants both."""
    before = read(api.as_alice(), "chunks", "id,content", collection_id=sea)
    assert len(before) == 3
    with api.project.database.as_owner() as conn:
        conn.execute(
            "with i as (insert into public.indexes (collection_id, model_id, chunking, state)"
            " select collection_id, model_id, '{}', 'building' from public.indexes where collection_id = %(c)s"
            " returning id, collection_id), d as (insert into public.index_documents"
            " (index_id, document_id, collection_id, text_revision)"
            " select i.id, d.id, i.collection_id, 1 from i join public.documents d using (collection_id)"
            " returning index_id, document_id, collection_id)"
            " insert into public.chunks (index_id, document_id, collection_id, ordinal, start_char, end_char, text)"
            " select index_id, document_id, collection_id, 0, 0, 5, 'other' from d",
            {"c": sea},
        )
    try:
        assert read(api.as_alice(), "chunks", "id,content", collection_id=sea) == before
    finally:
        with api.project.database.as_owner() as conn:
            conn.execute("delete from public.indexes where collection_id = %s and state = 'building'", [sea])


# Asking --------------------------------------------------------------------------------------------------------------


def ask(api: Served, chat: str, question: str, **more: str) -> Row:
    """The answer's row with its sources, once it is final."""
    alice = api.as_alice()
    asked = insert(alice, "messages", chat_id=chat, content=question, **more)
    assert (asked["role"], asked["content"]) == ("user", question)
    wait_for(lambda: read(alice, "messages", "phase", id=asked["answer_id"])[0]["phase"] in ("complete", "failed"))
    [answer] = read(alice, "messages", "*,sources(*)", id=asked["answer_id"])
    assert answer["parent_id"] == asked["id"]
    return answer


def test_a_question_is_inserted_and_its_answer_read_with_sources(api: Served, sea: str) -> None:
    alice, bob = api.as_alice(), api.as_bob()
    chat = insert(alice, "chats", collection_id=sea)
    answer = ask(api, chat["id"], "What is the largest animal?")
    assert answer["phase"] == "complete"
    assert "blue whale" in answer["content"]
    quoted = [source for source in answer["sources"] if source["quotes"]]
    assert quoted[0]["document_name"] == "whales.md"
    for source in quoted:
        [document] = read(alice, "documents", "text", id=source["document_id"])
        for quote in source["quotes"]:
            assert document["text"][quote["start_char"] : quote["end_char"]] == quote["quote"]
    assert read(alice, "chats", "title,is_mine", id=chat["id"]) == [
        {"title": "What is the largest animal?", "is_mine": True}
    ]
    for table in ("chats", "messages", "sources"):
        assert read(bob, table) == []
    with pytest.raises(APIError, match="That chat does not exist, or you may not write in it"):
        insert(bob, "messages", chat_id=chat["id"], content="And mine?")


def test_a_question_goes_on_from_the_message_that_is_named(api: Served, sea: str) -> None:
    chat = insert(api.as_alice(), "chats", collection_id=sea, title="Branches")
    first = ask(api, chat["id"], "What is the largest animal?")
    ask(api, chat["id"], "What pulls at the sea?")
    branch = ask(api, chat["id"], "What feeds on krill?", parent_id=first["parent_id"])
    [question] = read(api.as_alice(), "messages", "parent_id", id=branch["parent_id"])
    assert question["parent_id"] is not None
    assert read(api.as_alice(), "chats", "title", id=chat["id"]) == [{"title": "Branches"}]


def test_an_answer_that_is_being_written_shows_what_there_is(api: Served, sea: str) -> None:
    alice = api.as_alice()
    chat = insert(alice, "chats", collection_id=sea)
    answer = ask(api, chat["id"], "What is the largest animal?")["id"]
    with api.project.database.as_owner() as conn:
        conn.execute("delete from public.message_deltas where message_id = %s", [answer])
        conn.execute(
            "insert into public.message_deltas (message_id, attempt, seq, text)"
            " select id, attempt + late, seq, part from public.messages,"
            " (values (0, 2, 'whale'), (0, 1, 'A '), (1, 1, 'of another attempt')) as t (late, seq, part)"
            " where id = %s",
            [answer],
        )
        conn.execute("update public.messages set phase = 'generating' where id = %s", [answer])
    assert read(alice, "messages", "content", id=answer) == [{"content": "A whale"}]


def test_evaluations_can_be_read(api: Served, sea: str) -> None:
    alice = api.project.alice.id
    [whales] = read(api.as_alice(), "documents", "id", collection_id=sea, name="whales.md")
    with api.project.database.as_user(alice) as conn:
        made = conn.execute(
            "with s as (insert into public.evaluation_sets (collection_id, name) values (%(c)s, 'Sea') returning id),"
            " q as (insert into public.questions (set_id, collection_id, text) select id, %(c)s, 'Krill?' from s"
            " returning id)"
            " insert into public.judgements (question_id, collection_id, document_id, text_revision, grade)"
            " select id, %(c)s, %(d)s, 1, 2 from q returning question_id",
            {"c": sea, "d": whales["id"]},
        ).fetchone()
    assert made is not None
    with api.project.database.as_owner() as conn:
        conn.execute(
            "with r as ("
            " insert into public.evaluation_runs (set_id, collection_id, profile, model, total, state, metrics)"
            " select set_id, collection_id, '{}', 'm', 1, 'done', '{\"values\": {\"ndcg\": 0.5}}' from public.questions"
            " where id = %(q)s returning id)"
            " insert into public.evaluation_results (run_id, question_id, hits, latency_ms)"
            " select id, %(q)s, '[]', 1 from r",
            {"q": made[0]},
        )
    [found] = read(
        api.as_alice(),
        "evaluation_sets",
        "name,questions(text,judgements(grade)),evaluation_runs(metrics,evaluation_results(latency_ms))",
        collection_id=sea,
    )
    assert found == {
        "name": "Sea",
        "questions": [{"text": "Krill?", "judgements": [{"grade": 2}]}],
        "evaluation_runs": [{"metrics": {"values": {"ndcg": 0.5}}, "evaluation_results": [{"latency_ms": 1}]}],
    }
    assert read(api.as_bob(), "evaluation_sets") == []
    with pytest.raises(APIError, match="permission denied"):
        insert(api.as_alice(), "evaluation_sets", collection_id=sea, name="Mine")
