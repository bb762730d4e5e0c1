"""Near-duplicates: planted ones are found, other passages aren't, and large families stay cheap and together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.bench_health import THRESHOLD, score
from benchmarks.planted_copies import KINDS, make_passages, plant
from rag.health.duplicate_groups import covered, find_stars
from rag.health.health_job import FLOOR
from rag.health.phrase_join import FAMILY, Pairs, join_sets
from rag.health.phrase_sets import PhraseSets, read_phrases

DOG = "The quick brown fox jumps over the lazy dog. It was a sunny day in May. Nobody was there!"


def pairs_of(sets: PhraseSets, floor: float = FLOOR) -> Pairs:
    return join_sets(sets, floor)


def groups_of(texts: list[str], threshold: float = THRESHOLD) -> list[int | None]:
    """The group of each text, None for none."""
    sets = read_phrases(texts)
    pairs, shape = pairs_of(sets), sets.shape.tolist()
    rows = zip(pairs.a.tolist(), pairs.b.tolist(), pairs.score.tolist(), strict=True)
    stars = find_stars(Counter(shape), rows, threshold)
    group = {one: number for number, star in enumerate(stars) for one in (star.centre, *(o for o, _ in star.others))}
    return [group.get(one) for one in shape]


@pytest.mark.parametrize("cranfield", [False, True], ids=["made up", "Cranfield"])
def test_planted_copies_are_found_and_nothing_else(cranfield: bool) -> None:
    rng = np.random.default_rng(3)
    texts, planted = plant(make_passages(1200, rng, cranfield=cranfield), 30, rng)
    recall, precision = score(planted, groups_of(texts))
    for kind in KINDS[:-1]:
        assert (recall[kind], precision[kind]) == (1.0, 1.0), kind
    assert recall["half the sentences"] == 0.0


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (DOG, 1.0),
        (DOG.replace(" ", "\n\t "), 1.0),
        (DOG.upper(), 1.0),
        ("Nobody was there! It was a sunny day in May. The quick brown fox jumps over the lazy dog.", 1.0),
        # 7 + 5 + 1 phrases; a word in the middle of the first sentence is in three of its seven, one near its end
        # in two.
        (DOG.replace("jumps", "leaps"), 10 / 16),
        (DOG.replace("lazy", "idle"), 11 / 15),
        ("Something else entirely is said in this place.", 0.0),
    ],
)
def test_the_score_is_the_jaccard_index_of_three_word_phrases(other: str, expected: float) -> None:
    sets = read_phrases([DOG, other])
    pairs = pairs_of(sets, 0.01)
    same = sets.shape[0] == sets.shape[1]
    assert (1.0 if same else sum(pairs.score.tolist())) == pytest.approx(expected)


def test_every_pair_above_the_floor_is_found() -> None:
    """Against comparing each with each, on texts of so few words that everything shares something."""
    rng = np.random.default_rng(1)
    texts = []
    for _ in range(40):
        words = rng.choice(["a", "b", "c", "d", "e", "f", "g", "h"], int(rng.integers(5, 30)))
        for _ in range(6):
            texts.append(" ".join(words))
            words[int(rng.integers(len(words)))] = "x"
    sets = read_phrases(texts)
    each = [set(sets.hashes[a:b].tolist()) for a, b in zip(sets.starts[:-1], sets.starts[1:], strict=True)]
    scores = {
        (a, b): len(each[a] & each[b]) / len(each[a] | each[b])
        for a in range(len(each))
        for b in range(a + 1, len(each))
    }
    assert Counter(one for some in each for one in some).most_common(1)[0][1] <= FAMILY
    wanted = {pair: pytest.approx(value) for pair, value in scores.items() if value >= 0.5}
    pairs = pairs_of(sets, 0.5)
    found = dict(zip(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True), pairs.score.tolist(), strict=True))
    assert len(wanted) > 100
    assert found == wanted


def test_a_thousand_copies_are_no_pair_and_a_thousand_variants_are_few() -> None:
    copies = read_phrases(["All rights are reserved by the company and its many heirs."] * 1000)
    assert len(pairs_of(copies).a) == 0
    assert len(copies.starts) == 2
    footer = "Sheet {} of the yearly report of the company, of which all rights are reserved and none are given away."
    variants = [footer.format(number) for number in range(1000)]
    pairs = pairs_of(read_phrases(variants))
    assert pairs.compared < 20_000
    assert set(groups_of(variants)) == {0}


def test_a_star_holds_no_chain() -> None:
    """b resembles a and c, which don't resemble each other: whoever is in a group resembles its middle."""
    pairs = [(0, 1, 0.8), (1, 2, 0.8), (2, 3, 0.8), (3, 4, 0.8)]
    copies = dict.fromkeys(range(5), 1)
    stars = find_stars(copies, pairs, 0.7)
    scores = {frozenset(pair[:2]): pair[2] for pair in pairs}
    for star in stars:
        assert all(scores[frozenset((star.centre, other))] >= 0.7 for other, _ in star.others)
    assert [1 + len(star.others) for star in stars] == [3, 2]
    assert find_stars(copies, pairs, 0.9) == []
    assert [star.centre for star in find_stars({7: 2, 8: 1}, [], 0.9)] == [7]


def test_raising_the_threshold_adds_no_pair_to_a_group() -> None:
    rng = np.random.default_rng(9)
    pairs = [(a, b, float(rng.random())) for a in range(40) for b in range(a + 1, 40) if rng.random() < 0.2]
    sizes = [
        sum(1 + len(star.others) for star in find_stars(dict.fromkeys(range(40), 1), pairs, threshold))
        for threshold in (0.4, 0.6, 0.8, 0.95, 1.0)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1] == 0


def test_a_decision_covers_a_group_only_as_a_whole() -> None:
    kept = {1: frozenset({7}), 2: frozenset({7, 8}), 3: frozenset({8})}
    told = [covered(members, kept) for members in ([1, 2], [2, 3], [1, 2, 3], [1, 4], [])]
    assert told == [True, True, False, False, False]


def test_passages_without_words_and_in_scripts_without_spaces() -> None:
    sets = read_phrases(["---", "- - -", "***", "我们今天去学校。明天再说。", "明天再说。我们今天去学校。", ""])
    assert sets.shape[0] == sets.shape[1] != sets.shape[2]
    assert sets.shape[3] == sets.shape[4]
    assert sets.words.tolist() == [0, 0, 0, 11, 11, 0]
