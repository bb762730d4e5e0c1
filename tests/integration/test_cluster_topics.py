"""From texts to labels, all of it real but the database: embedding, layout, clusters, words.

Each topic of our own becomes a cluster that is labelled with one of its words; also when it is mixed with other sets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.mapping.cluster_labels import choose_samples, describe
from rag.mapping.clustering import cluster_points
from rag.mapping.map_child import to_units
from rag.mapping.neighbours import find_neighbours, unit
from rag.mapping.projection import project
from rag.mapping.telling_sentences import Sample
from rag.settings import load_settings
from rag.vectors.models import describe_model
from tests.integration.topics import TEXTS, WORDS, parts_of

Embed = Callable[[Sequence[str]], NDArray[np.float32]]

EVAL = Path(__file__).parents[3] / "shared" / "eval"
OWN = [(topic, text, WORDS[topic][0]) for topic, texts in TEXTS.items() for text in texts]


@pytest.fixture(scope="module")
def embed() -> Embed:
    from rag.vectors.torch_encoder import TorchEncoder

    encoder = TorchEncoder(describe_model(load_settings(None)))
    return encoder.encode


def topics_found(texts: Sequence[tuple[str, str, str]], vectors: NDArray[np.float32]) -> dict[str, tuple[str, float]]:
    """For each topic of our own: the label of the cluster that most of it is in, and which share of it that is."""
    even = unit(vectors)
    xy = to_units(project(even, find_neighbours(even, 15), seed=1))
    tree = cluster_points(xy)
    samples = [
        [Sample(int(at), texts[at][1], texts[at][2], False, vectors[at]) for at in some]
        for some in choose_samples(tree, np.arange(len(texts)))
    ]
    said = describe(tree, samples)
    names = np.array([name for name, _, _ in texts])
    found = {}
    for topic in TEXTS:
        leaves = tree.leaf[(names == topic) & (tree.leaf >= 0)]
        leaf = int(np.bincount(leaves).argmax())
        found[topic] = said[leaf].label, float((leaves == leaf).mean())
    return found


def check(found: dict[str, tuple[str, float]]) -> None:
    for topic, (label, share) in found.items():
        assert parts_of(label) & WORDS[topic][1], f"{topic} is labelled {label!r}"
        assert share >= 0.75, f"only {share:.0%} of {topic} is in one cluster"
    assert len({label for label, _ in found.values()}) == len(found)


def test_each_topic_of_our_own_is_labelled_with_a_word_of_it(embed: Embed) -> None:
    check(topics_found(OWN, embed([text for _, text, _ in OWN])))


def test_also_mixed_with_other_sets(embed: Embed) -> None:
    if not EVAL.is_dir():
        pytest.skip("../shared/eval, with the sets to mix the topics with, isn't there")
    mixed = [*OWN, *_passages("cranfield", 90), *_passages("chunking_eval", 60)]
    check(topics_found(mixed, embed([text for _, text, _ in mixed])))


def _passages(name: str, most: int) -> list[tuple[str, str, str]]:
    """The first passages of a set, of 70 words."""
    found = []
    with (EVAL / name / "corpus.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            words = json.loads(line)["text"].split(" ")
            starts = range(0, len(words), 70) if name == "chunking_eval" else [0]
            found += [(name, " ".join(words[start : start + 70]), "en") for start in starts]
    step = max(1, len(found) // most)
    return [passage for passage in found[::step] if passage[1].strip()][:most]
