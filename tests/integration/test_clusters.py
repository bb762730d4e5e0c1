"""Clusters in the database: what they are called and by whom, who sees them, and what tells a selection apart."""

from __future__ import annotations

from uuid import UUID

import pytest

from rag.errors import InvalidInput, NotAllowed
from rag.mapping.cluster_keeping import store_tree
from rag.mapping.cluster_rows import leaf_groups, list_clusters, rename_cluster
from rag.mapping.distinctive_words import distinctive
from rag.store.database import Database
from tests.conftest import ALICE, BOB
from tests.integration.clustered import Clustered
from tests.integration.topics import TEXTS, WORDS, parts_of


@pytest.fixture(scope="module")
def shared(module_database: Database, alice: UUID) -> Clustered:
    """Not to be changed."""
    return Clustered(module_database, alice)


@pytest.fixture
def clustered(database: Database, alice: UUID) -> Clustered:
    return Clustered(database, alice)


@pytest.fixture(scope="module")
def alice() -> UUID:
    return ALICE


@pytest.fixture(scope="module")
def bob() -> UUID:
    return BOB


def test_each_topic_is_a_cluster_labelled_with_its_words(shared: Clustered) -> None:
    assert len(shared.clusters()) == len(TEXTS)
    for topic, (_, words) in WORDS.items():
        cluster = shared.cluster_of(topic)
        assert parts_of(cluster.label) & words, cluster.label
        assert cluster.points == 16
        assert any(cluster.sentence in text for text in TEXTS[topic])
        assert cluster.chunk_id in shared.chunks[topic]
        assert cluster.automatic == cluster.label
    labels = [one.label for one in shared.clusters()]
    assert len(set(labels)) == len(labels)


def test_a_coarser_granularity_has_labels_of_its_own(shared: Clustered) -> None:
    coarse, fine = shared.clusters(1), shared.clusters(5)
    assert 1 < len(coarse) < len(fine)
    with shared.database.as_user(shared.user) as conn:
        groups = leaf_groups(conn, shared.map_id, 1)
        assert leaf_groups(conn, shared.map_id, 5) == {one.number: one.number for one in fine}
    for one in coarse:
        assert sorted(one.leaves) == sorted(leaf for leaf, group in groups.items() if group == one.number)
        assert one.points == sum(other.points for other in fine if other.number in one.leaves)
        assert 0 < len(one.label) <= 60
    merged = next(one for one in coarse if len(one.leaves) > 1)
    held = {word for topic in TEXTS if shared.cluster_of(topic).number in merged.leaves for word in WORDS[topic][1]}
    assert parts_of(merged.label) & held


def test_a_stranger_gets_no_label_no_count_and_no_word(shared: Clustered, bob: UUID) -> None:
    with shared.database.as_user(bob) as conn:
        assert list_clusters(conn, shared.map_id, 5) == []
        assert leaf_groups(conn, shared.map_id, 5) == {}
        assert conn.execute("select count(*) from public.clusters").fetchone() == (0,)
        assert distinctive(conn, shared.index, shared.chunks["chess"]) == []
    with pytest.raises(NotAllowed), shared.database.as_user(bob) as conn:
        rename_cluster(conn, shared.map_id, 0, "Mine")


def test_two_members_see_the_same_and_only_editors_rename(clustered: Clustered, bob: UUID) -> None:
    clustered.share(bob, "viewer")
    assert clustered.clusters(5, bob) == clustered.clusters(5)
    chess = clustered.cluster_of("chess")
    with pytest.raises(NotAllowed), clustered.database.as_user(bob) as conn:
        rename_cluster(conn, clustered.map_id, chess.number, "Games")
    before = clustered.value("select version from public.maps where id = %s", clustered.map_id)
    with clustered.database.as_user(clustered.user) as conn:
        rename_cluster(conn, clustered.map_id, chess.number, "  Board \n games ")
    assert [one.label for one in clustered.clusters(5, bob) if one.number == chess.number] == ["Board games"]
    assert clustered.value("select version from public.maps where id = %s", clustered.map_id) == before + 1
    with clustered.database.as_user(clustered.user) as conn:
        rename_cluster(conn, clustered.map_id, chess.number, " ")
    assert clustered.cluster_of("chess") == chess


def test_names_have_an_end(clustered: Clustered) -> None:
    with pytest.raises(InvalidInput), clustered.database.as_user(clustered.user) as conn:
        rename_cluster(conn, clustered.map_id, 0, "x" * 81)
    with pytest.raises(NotAllowed), clustered.database.as_user(clustered.user) as conn:
        rename_cluster(conn, clustered.map_id, 999, "Nothing")


def test_counts_and_sentences_follow_the_chunks(clustered: Clustered) -> None:
    chess = clustered.cluster_of("chess")
    clustered.do("delete from public.chunks where id = %s", chess.chunk_id)
    left = clustered.cluster_of("chess")
    assert (left.points, left.sentence, left.chunk_id) == (15, "", None)
    quoted = "select sentence from public.clusters where map_id = %s and cluster = %s"
    assert clustered.value(quoted, clustered.map_id, chess.number) == ""


def test_clustering_again_forgets_what_was(clustered: Clustered) -> None:
    with clustered.database.as_worker() as conn:
        store_tree(conn, clustered.map_id, clustered.tree)
    assert [one.label for one in clustered.clusters()][:1] == ["Cluster 1"]
    assert len(clustered.clusters()) == len(TEXTS)


def test_what_tells_a_selection_from_the_rest(shared: Clustered) -> None:
    with shared.database.as_user(shared.user) as conn:
        words = [word for word, _ in distinctive(conn, shared.index, shared.chunks["coffee"], limit=6)]
        scores = [score for _, score in distinctive(conn, shared.index, shared.chunks["coffee"])]
        against = distinctive(conn, shared.index, shared.chunks["chess"], against=shared.chunks["beekeeping"])
        whole = [chunk for chunks in shared.chunks.values() for chunk in chunks]
        everything = distinctive(conn, shared.index, whole)
        assert distinctive(conn, shared.index, []) == []
        assert distinctive(conn, shared.index, [-1]) == []
    assert words[0] == "coffee"
    assert set(words) & {"beans", "roast", "espresso"}
    assert len(words) == 6
    assert scores == sorted(scores, reverse=True)
    assert "queen" not in [word for word, _ in against]
    assert everything
