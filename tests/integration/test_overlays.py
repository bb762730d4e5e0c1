"""A run and an answer's citations on a map: each judged answer at its chunk, found or missed as the run says."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.chat.chats import stop_answer
from rag.errors import NotFound
from rag.evaluation.running import run
from rag.evaluation.runs import read_results
from rag.mapping.asking import Point
from rag.mapping.cited_places import cited_places, latest_answer
from rag.mapping.maps import CorpusMap
from rag.mapping.overlays import Coverage, Overlay, count_coverage, read_quotes, run_overlay
from rag.retrieval.profiles import RetrievalProfile
from rag.store.database import Database
from tests.integration.handmade_map import draw_map
from tests.integration.judged import CHUNKS, DOCUMENTS, Judged
from tests.integration.library import LAKE, PUMP, QUESTION, Library, settings_for


@pytest.fixture
def judged(database: Database, alice: UUID) -> Judged:
    return Judged(database, alice, spans=True)


def measure(judged: Judged, profile: RetrievalProfile) -> int:
    number = judged.start(profile)
    run(judged.errand(), number)
    return number


def overlay(judged: Judged, drawn: CorpusMap, number: int) -> Overlay:
    with judged.database.as_user(judged.user) as conn:
        return run_overlay(conn, drawn.id, number)


@pytest.mark.parametrize(
    "profile", [RetrievalProfile(k=1), RetrievalProfile(k=6), RetrievalProfile(mode="dense", k=9, threshold=0.6)]
)
def test_a_question_is_missed_where_the_run_says_so(judged: Judged, profile: RetrievalProfile) -> None:
    number = measure(judged, profile)
    drawn = draw_map(judged.database, judged.collection, judged.user)
    found = overlay(judged, drawn, number)
    with judged.database.as_user(judged.user) as conn:
        hits = {result.question_id: result.metrics["passage:hit@k"] for result in read_results(conn, number)}
    assert set(found.by_question) == set(judged.questions)
    assert set(found.missed_questions) == {question for question, hit in hits.items() if not hit}
    assert len(found.missed) == sum(not hit for hit in hits.values())
    # The first chunk of document n is the nth of its kind, and the span is all of it.
    expected = [
        Point(n * CHUNKS, n * CHUNKS % 32 * 1000, n * CHUNKS // 32 * 1000, n * CHUNKS % 4) for n in range(DOCUMENTS)
    ]
    assert [answer.point for answer in found.answers] == expected


def test_an_answer_is_found_by_whatever_overlaps_it_within_k(judged: Judged) -> None:
    number = judged.start(RetrievalProfile(k=2, threshold=0.5))
    question, document, other = judged.questions[0], judged.documents[0], judged.documents[1]
    judged.judge(question, other)
    judged.judge(question, document, (320, 340))
    judged.judge(question, judged.documents[2], (100, 150), grade=0)
    hits = [(other, 0, 9, 0.9), (document, 149, 300, 0.8), (document, 300, 350, 0.7)]
    judged.rows(
        "insert into public.evaluation_results (run_id, question_id, hits, latency_ms)"
        " select %s, %s,"
        " jsonb_agg(jsonb_build_object('d', d, 's', s, 'e', e, 'c', 1, 'sim', m, 'score', m) order by m desc), 1"
        " from unnest(%s::uuid[], %s::int[], %s::int[], %s::real[]) as h (d, s, e, m) returning run_id",
        number,
        question,
        *map(list, zip(*hits, strict=True)),
    )
    drawn = draw_map(judged.database, judged.collection, judged.user)
    found = overlay(judged, drawn, number)
    by_span = {(answer.document_id, answer.start): answer for answer in found.answers}
    assert {key: answer.rank for key, answer in by_span.items()} == {
        (document, 100): 2,
        (other, None): 1,
        (document, 320): None,
    }
    # Of a whole document, the point nearest to the middle of its three.
    assert by_span[other, None].point == Point(4, 4000, 0, 0)
    assert by_span[document, 320].point == Point(2, 2000, 0, 2)
    assert not found.missed_questions
    judged.rows("update public.evaluation_runs set profile = profile || '{\"threshold\": 0.85}' returning id")
    stricter = overlay(judged, drawn, number)
    assert [answer.start for answer in stricter.answers if answer.found] == [None]


def test_a_document_counts_as_a_whole_only_where_no_span_of_it_is_judged(judged: Judged) -> None:
    judged.judge(judged.questions[0], judged.documents[0])
    number = measure(judged, RetrievalProfile())
    drawn = draw_map(judged.database, judged.collection, judged.user)
    first = overlay(judged, drawn, number).by_question[judged.questions[0]]
    assert [answer.start for answer in first] == [100]


def test_an_answer_that_is_not_on_the_map_is_said_to_be_off_it(judged: Judged) -> None:
    number = measure(judged, RetrievalProfile())
    first = judged.rows("select id from public.chunks where document_id = %s order by ordinal", judged.documents[3])[0][
        0
    ]
    drawn = draw_map(judged.database, judged.collection, judged.user, without=[first])
    found = overlay(judged, drawn, number)
    assert [answer.document_id for answer in found.off_map] == [judged.documents[3]]
    assert sum(row.total for row in count_coverage(found.answers, {})) == DOCUMENTS - 1


def test_gaps_are_counted_by_cluster(judged: Judged) -> None:
    number = measure(judged, RetrievalProfile(k=1))
    drawn = draw_map(judged.database, judged.collection, judged.user)
    found = overlay(judged, drawn, number)
    rows = count_coverage(found.answers, {0: 7, 1: 7, 2: 9})
    leaves = [answer.point.leaf for answer in found.answers if answer.point]
    assert {row.cluster: row.total for row in rows} == {
        7: leaves.count(0) + leaves.count(1),
        9: leaves.count(2),
        None: leaves.count(3),
    }
    assert sum(row.missed for row in rows) == len(found.missed)
    assert rows == sorted(rows, key=lambda row: -row.missed)
    assert count_coverage([], {}) == []
    assert isinstance(rows[0], Coverage)


def test_the_words_of_a_missed_answer_can_be_read(database: Database, alice: UUID) -> None:
    judged = Judged(database, alice, spans=True)
    number = measure(judged, RetrievalProfile())
    drawn = draw_map(database, judged.collection, alice)
    found = overlay(judged, drawn, number)
    with database.as_owner() as conn:
        conn.execute(
            "insert into public.document_texts (document_id, revision, text)"
            " values (%s, 1, repeat('x', 100) || 'amber here')",
            [judged.documents[0]],
        )
    with database.as_user(alice) as conn:
        assert read_quotes(conn, found.answers, most=5) == {found.answers[0].judgement_id: "amber"}


def test_a_stranger_gets_nothing_of_a_run(judged: Judged, bob: UUID) -> None:
    number = measure(judged, RetrievalProfile())
    drawn = draw_map(judged.database, judged.collection, judged.user)
    answers = overlay(judged, drawn, number).answers
    with pytest.raises(NotFound), judged.database.as_user(bob) as conn:
        run_overlay(conn, drawn.id, number)
    with judged.database.as_user(bob) as conn:
        assert read_quotes(conn, answers) == {}


def test_a_run_is_not_shown_on_the_map_of_another_collection(judged: Judged, alice: UUID) -> None:
    number = measure(judged, RetrievalProfile())
    library = Library(judged.database, alice, {"pump.md": PUMP})
    other = draw_map(judged.database, library.collection, alice)
    with pytest.raises(NotFound), judged.database.as_user(alice) as conn:
        run_overlay(conn, other.id, number)


@pytest.fixture
def library(database: Database, alice: UUID) -> Library:
    return Library(database, alice, {"pump.md": PUMP, "lake.txt": LAKE})


def test_what_an_answer_cites_lies_at_its_chunk(library: Library, alice: UUID) -> None:
    drawn = draw_map(library.database, library.collection, alice)
    answer = library.answer(library.ask(), settings_for())
    with library.database.as_user(alice) as conn:
        given = latest_answer(conn, library.collection, f"  {QUESTION} ")
        assert given is not None
        assert (given.message_id, given.phase, given.finished) == (answer.id, "complete", True)
        (cited,) = cited_places(conn, drawn.id, answer.id)
    passage = next(one for one in answer.passages if one.number == answer.citations[0].number)
    assert (cited.number, cited.chunk_id, cited.document) == (passage.number, passage.chunk_id, "pump.md")
    assert cited.point == Point(0, 0, 0, 0)


def test_a_citation_finds_its_place_in_another_index(library: Library, alice: UUID) -> None:
    answer = library.answer(library.ask(), settings_for())
    # As after a rebuild: the chunk that was read is gone, another one holds the quoted words.
    library_chunk = answer.passages[0].chunk_id
    with library.database.as_owner() as conn:
        conn.execute("update public.passages set chunk_id = -chunk_id")
    drawn = draw_map(library.database, library.collection, alice)
    with library.database.as_user(alice) as conn:
        (cited,) = cited_places(conn, drawn.id, answer.id)
        assert (cited.chunk_id, cited.point) == (library_chunk, Point(0, 0, 0, 0))
    with library.database.as_owner() as conn:
        conn.execute("update public.passages set text_revision = 7")
    with library.database.as_user(alice) as conn:
        (cited,) = cited_places(conn, drawn.id, answer.id)
        assert (cited.chunk_id, cited.point) == (None, None)


def test_the_latest_answer_to_just_this_question_counts(library: Library, alice: UUID, bob: UUID) -> None:
    first = library.ask()
    with library.database.as_user(alice) as conn:
        given = latest_answer(conn, library.collection, QUESTION)
        assert given is not None
        assert not given.finished
        assert latest_answer(conn, library.collection, "How long?") is None
    library.answer(first, settings_for())
    second = library.ask(profile=RetrievalProfile(k=1).to_json())
    with library.database.as_user(alice) as conn:
        given = latest_answer(conn, library.collection, QUESTION)
        assert given is not None
        assert (given.message_id, given.profile) == (second, RetrievalProfile(k=1).to_json())
        stop_answer(conn, second)
        earlier = latest_answer(conn, library.collection, QUESTION)
        assert earlier is not None
        assert (earlier.message_id, earlier.profile) == (first, None)
    with library.database.as_user(bob) as conn:
        assert latest_answer(conn, library.collection, QUESTION) is None
        assert cited_places(conn, 1, first) == []
