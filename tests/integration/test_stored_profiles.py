"""Profiles of a collection: versions, the default with its history, who may, and what the audit list says of it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from rag.corpus.audit import describe, list_entries
from rag.errors import InvalidInput, NotAllowed, NotFound
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import (
    delete_profile,
    describe_changes,
    list_profiles,
    list_versions,
    load_profile,
    make_default,
    read_default,
    read_profile,
    save_profile,
    undo_default,
)
from rag.store.database import Database

WIDE = RetrievalProfile(k=50, diversity=0.3, rerank="a/b", rerank_depth=20, neighbours=1)


def test_every_save_is_a_version_that_stays_readable(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        assert list_profiles(conn, corpus) == []
        first = save_profile(conn, corpus, " wide ", WIDE)
        assert (first.name, first.version, first.profile, first.is_default) == ("wide", 1, WIDE, False)
        assert first.created_by == alice
        second = save_profile(conn, corpus, "wide", RetrievalProfile(k=80))
        save_profile(conn, corpus, "strict", RetrievalProfile(threshold=0.4))
        assert [(one.name, one.version) for one in list_profiles(conn, corpus)] == [("strict", 1), ("wide", 2)]
        assert list_versions(conn, corpus, "wide") == [second, first]
        assert list_versions(conn, corpus, "narrow") == []
        assert read_profile(conn, first.id) == first
        assert load_profile(conn, corpus, "wide").k == 80
        assert load_profile(conn, corpus, "wide", 1) == WIDE
        with pytest.raises(NotFound, match="no version 3") as caught:
            load_profile(conn, corpus, "wide", 3)
        assert "1 to 2" in caught.value.hint
        with pytest.raises(NotFound, match="no profile named 'narrow'") as caught:
            load_profile(conn, corpus, "narrow")
        assert caught.value.hint == "It has: strict, wide."
        for name in (" ", "x" * 81):
            with pytest.raises(InvalidInput, match="between 1 and 80"):
                save_profile(conn, corpus, name, RetrievalProfile())


def test_what_the_collection_keeps_is_a_profile(database: Database, corpus: UUID, alice: UUID) -> None:
    statement = "insert into retrieval_profiles (collection_id, name, settings) values (%s, 'x', %s)"
    for settings in ('{"k": 0}', '{"top": 1}', '{"rerank": true}', '{"neighbours": 4}', '{"diversity": 2}'):
        with pytest.raises(InvalidInput), database.as_user(alice) as conn:
            conn.execute(statement, [corpus, settings])


def test_python_and_the_database_mean_the_same_by_no_settings(database: Database) -> None:
    with database.as_owner() as conn:
        row = conn.execute("select corpuscope.complete_profile('{}')").fetchone()
    assert row is not None
    assert row[0] == RetrievalProfile().to_json()


@pytest.mark.parametrize(
    "settings",
    [
        {"diversity": -0.1},
        {"diversity": 1.1},
        {"rerank": ""},
        {"rerank": "x" * 501},
        {"rerank": 1},
        {"rerank_depth": 0},
        {"rerank_depth": 201},
        {"neighbours": -1},
        {"neighbours": 4},
        {"lambda": 0.5},
    ],
)
def test_python_and_the_database_refuse_the_same_in_the_same_words(
    database: Database, settings: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as ours:
        RetrievalProfile.from_json(settings)
    with database.as_owner() as conn, pytest.raises(psycopg.errors.RaiseException) as theirs:
        conn.execute("select corpuscope.complete_profile(%s)", [Jsonb(settings)])
    assert str(ours.value).split(", not ")[0].rstrip(".") in str(theirs.value)


def test_the_default_is_a_version_and_goes_back_step_by_step(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        assert read_default(conn, corpus) is None
        assert load_profile(conn, corpus) == RetrievalProfile()
        with pytest.raises(InvalidInput, match="No change of the default profile is left"), conn.transaction():
            undo_default(conn, corpus)
        strict = save_profile(conn, corpus, "strict", RetrievalProfile(threshold=0.4), make_default=True)
        assert strict.is_default
        later = save_profile(conn, corpus, "strict", RetrievalProfile(threshold=0.5))
        assert not later.is_default, "a save changes nobody's default"
        assert load_profile(conn, corpus).threshold == 0.4
        wide = make_default(conn, save_profile(conn, corpus, "wide", WIDE).id)
        assert make_default(conn, wide.id) == wide, "once more is no change"
        assert read_default(conn, corpus) == wide
        back = undo_default(conn, corpus)
        assert back is not None
        assert (back.id, back.is_default) == (strict.id, True)
        make_default(conn, later.id)
        assert load_profile(conn, corpus).threshold == 0.5
        assert undo_default(conn, corpus) == back
        assert undo_default(conn, corpus) is None
        assert read_default(conn, corpus) is None
        with pytest.raises(InvalidInput, match="No change"), conn.transaction():
            undo_default(conn, corpus)


def test_undoing_passes_over_what_was_deleted(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        first = save_profile(conn, corpus, "first", RetrievalProfile(k=1), make_default=True)
        save_profile(conn, corpus, "second", RetrievalProfile(k=2), make_default=True)
        save_profile(conn, corpus, "second", RetrievalProfile(k=3))
        save_profile(conn, corpus, "third", RetrievalProfile(k=4), make_default=True)
        with pytest.raises(InvalidInput, match="'third' is the default"):
            delete_profile(conn, corpus, "third")
        assert delete_profile(conn, corpus, "second") == 2
        with pytest.raises(NotFound):
            delete_profile(conn, corpus, "second")
        back = undo_default(conn, corpus)
        assert back is not None
        assert back.id == first.id


def test_viewers_read_and_strangers_see_nothing(database: Database, corpus: UUID, alice: UUID, bob: UUID) -> None:
    with database.as_user(alice) as conn:
        kept = save_profile(conn, corpus, "kept", WIDE)
    with database.as_user(bob) as conn:
        assert list_profiles(conn, corpus) == []
        with pytest.raises(NotFound):
            read_profile(conn, kept.id)
    _refused(database, bob, corpus, kept.id)
    with database.as_owner() as conn:
        conn.execute(
            "insert into collection_members (collection_id, user_id, role) values (%s, %s, 'viewer')", [corpus, bob]
        )
    with database.as_user(bob) as conn:
        assert list_profiles(conn, corpus) == [kept]
        with pytest.raises(NotFound, match="that you may delete"):
            delete_profile(conn, corpus, "kept")
    _refused(database, bob, corpus, kept.id)


def _refused(database: Database, user: UUID, collection: UUID, profile_id: int) -> None:
    with pytest.raises(NotAllowed), database.as_user(user) as conn:
        save_profile(conn, collection, "mine", RetrievalProfile())
    with pytest.raises(NotAllowed), database.as_user(user) as conn:
        make_default(conn, profile_id)
    with pytest.raises(NotAllowed), database.as_user(user) as conn:
        undo_default(conn, collection)


def test_the_default_is_changed_by_its_functions_only(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        save_profile(conn, corpus, "kept", WIDE)
    with pytest.raises(NotAllowed), database.as_user(alice) as conn:
        conn.execute("update retrieval_profiles set is_default = true")
    with pytest.raises(NotAllowed), database.as_user(alice) as conn:
        conn.execute(
            "insert into profile_defaults (collection_id, profile_id) select collection_id, id from retrieval_profiles"
        )


def test_the_audit_list_says_what_became_the_default(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as conn:
        save_profile(conn, corpus, "strict", RetrievalProfile(threshold=0.4), make_default=True)
        save_profile(conn, corpus, "wide", WIDE, make_default=True)
        undo_default(conn, corpus)
        undo_default(conn, corpus)
        said = [describe(entry, alice) for entry in list_entries(conn, collection=corpus)]
    assert [words for words in said if "default" in words] == [
        "You took back that the profile “strict” (version 1) is the default, which is what the product comes with"
        " again",
        "You took back that the profile “wide” (version 1) is the default, which is “strict” (version 1) again",
        "You made the profile “wide” (version 1) the default, before “strict” (version 1)",
        "You made the profile “strict” (version 1) the default, before what the product comes with",
    ]


def test_two_who_save_at_once_get_two_versions(database: Database, corpus: UUID, alice: UUID) -> None:
    with database.as_user(alice) as first, database.as_owner() as second:
        second.execute("set lock_timeout = '50ms'")
        save_profile(first, corpus, "wide", WIDE)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            save_profile(second, corpus, "wide", WIDE)
    with database.as_user(alice) as conn:
        assert save_profile(conn, corpus, "wide", WIDE).version == 2


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({}, {}, []),
        ({}, {"k": 20}, ["Passages (k): 20, before 10"]),
        ({"threshold": 0.35}, {}, ["Least similarity: none, before 0.35"]),
        (
            {},
            {"mode": "dense", "fusion": "rrf"},
            ["Method: meaning, before hybrid", "Fusion: reciprocal ranks, before weighted scores"],
        ),
        ({"diversity": 0.5}, {"rerank": "a/b"}, ["Diversity: none, before 0.5", "Reranker: a/b, before none"]),
        ({"dense_weight": 1}, {"dense_weight": 0.0}, ["Weight of meaning against words: 0, before 1"]),
    ],
)
def test_changes_in_words(before: dict[str, Any], after: dict[str, Any], words: list[str]) -> None:
    changes = describe_changes(RetrievalProfile(**before), RetrievalProfile(**after))
    assert [change.words for change in changes] == words


def test_every_setting_has_a_name() -> None:
    other = RetrievalProfile("dense", 1, 0.1, "rrf", 0.1, 1, 1, 0.1, "x", 1, 1)
    changes = describe_changes(RetrievalProfile(), other)
    assert [change.setting for change in changes] == [field.name for field in fields(RetrievalProfile)]
    assert [change.after for change in changes] == list(other.to_json().values())
