"""The labels of a map's clusters at every granularity: what is distinctive in their texts, and a sentence of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rag.mapping.cluster_keeping import Described, read_samples, store_labels
from rag.mapping.cluster_tree import GRANULARITIES, ClusterTree, Node
from rag.mapping.distinctive_words import Term, best_keys, choose_terms
from rag.mapping.telling_sentences import Sample, choose_sentence
from rag.mapping.terms import TermReader, Words
from rag.mapping.word_table import WordTable
from rag.store.database import Database

#: Texts read for all labels of a map, and for one of the leaves at least.
_MOST_READ = 12_000
_LEAST_OF_LEAF = 60
_READ_AT_ONCE = 2_000
#: Words kept of a cluster, and those that make its label.
_KEPT, _SHOWN = 10, 3
_LONGEST_LABEL = 48


def label_clusters(
    database: Database,
    map_id: int,
    tree: ClusterTree,
    chunks: NDArray[np.int64],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write the labels of the clusters that ``store_tree`` wrote. ``chunks`` are the ids of the points' chunks.

    ``check`` is called between steps and may raise. Some of the texts of a large cluster are read, always the same.
    """
    chosen = choose_samples(tree, chunks)
    wanted = [chunk for ids in chosen for chunk in ids]
    found: dict[int, Sample] = {}
    for start in range(0, len(wanted), _READ_AT_ONCE):
        check()
        with database.as_worker() as conn:
            found |= read_samples(conn, wanted[start : start + _READ_AT_ONCE])
    described = describe(tree, [[found[chunk] for chunk in ids if chunk in found] for ids in chosen], check)
    with database.as_worker() as conn:
        store_labels(conn, map_id, described)


def choose_samples(tree: ClusterTree, chunks: NDArray[np.int64], most: int = _MOST_READ) -> list[list[int]]:
    """The ids of chunks to read of each leaf."""
    rng = np.random.default_rng(0)
    order = np.argsort(tree.leaf, kind="stable")
    bounds = np.searchsorted(tree.leaf[order], np.arange(tree.leaves + 1))
    quota = max(_LEAST_OF_LEAF, most // max(tree.leaves, 1))
    found = []
    for start, end in pairwise(bounds):
        members = chunks[order[start:end]]
        if len(members) > quota:
            members = members[np.sort(rng.choice(len(members), quota, replace=False))]
        found.append(members.tolist())
    return found


def describe(
    tree: ClusterTree, samples: Sequence[Sequence[Sample]], check: Callable[[], None] = lambda: None
) -> dict[int, Described]:
    """What is said of each cluster, by its number; ``samples`` are texts of each leaf.

    A cluster is described at the coarsest granularity that shows it, against the others there.
    """
    reader = TermReader()
    texts = [[reader.read(sample.text, sample.language) for sample in some] for some in samples]
    sizes = np.bincount(tree.leaf[tree.leaf >= 0], minlength=tree.leaves)
    table = WordTable.count(texts, sizes.tolist())
    found: dict[int, Described] = {}
    headlines: dict[int, set[str]] = {}
    for granularity in GRANULARITIES:
        check()
        nodes = tree.at(granularity)
        level = table.grouped([node.leaves for node in nodes])
        scored = {node.number: best_keys(level, row, 4 * _KEPT) for row, node in enumerate(nodes)}
        taken = [headlines[node.number] for node in nodes if node.number in headlines]
        labels = {found[node.number].label for node in nodes if node.number in found}
        for node in sorted(nodes, key=lambda node: -max(scored[node.number].values(), default=0.0)):
            if node.number in found:
                continue
            said, headline = _describe_node(
                node, samples, texts, scored[node.number], set().union(*taken), reader, labels
            )
            found[node.number] = said
            headlines[node.number] = headline
            taken.append(headline)
            labels.add(said.label)
    return found


def _describe_node(
    node: Node,
    samples: Sequence[Sequence[Sample]],
    texts: Sequence[Sequence[Words]],
    scored: Mapping[str, float],
    taken: set[str],
    reader: TermReader,
    labels: set[str],
) -> tuple[Described, set[str]]:
    """What is said of a cluster, and the stems that its label begins with: no other of its granularity does."""
    terms = choose_terms([words for leaf in node.leaves for words in texts[leaf]], scored, _KEPT)
    first = next((at for at, term in enumerate(terms[:5]) if not taken & set(term.keys)), 0)
    terms[:1] = [terms[first], *terms[:1]] if first else terms[:1]
    if first:
        del terms[first + 1]
    telling = choose_sentence([sample for leaf in node.leaves for sample in samples[leaf]], scored, reader)
    said = Described(
        [term.text for term in terms],
        _label(terms, labels),
        telling.text if telling else "",
        telling.chunk_id if telling else None,
    )
    return said, set(terms[0].keys) if terms else set()


def _label(terms: Sequence[Term], labels: set[str]) -> str:
    """The first words, so many as make a short label that is nobody else's."""
    label = ""
    for at, term in enumerate(terms):
        longer = f"{label}, {term.text}" if label else term.text
        if label and label[:1].upper() + label[1:] not in labels and (at >= _SHOWN or len(longer) > _LONGEST_LABEL):
            break
        label = longer
    return label[:1].upper() + label[1:]
