"""What the points are coloured by: the channel or the clusters, their legend, and the colours that the map is given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pages.parts import explore_state
from pages.parts.ask_map_state import embed
from pages.parts.explore_address import Colour, Look
from pages.parts.explore_desk import Desk
from pages.parts.explore_palette import NONE, Pair, colours_of, own_colour
from pages.parts.explore_selection import read_selection
from pages.parts.map_view import NO_COLOUR, Colours, Frame, Label, LegendEntry, channel_address
from pages.parts.session import connect
from rag.mapping.channel_values import Bytes
from rag.mapping.channels import Channel, pack_vector, read_channel, read_leaves
from rag.mapping.cluster_rows import Cluster, leaf_groups, list_clusters

TITLES: dict[Colour, str] = {
    "cluster": "Cluster",
    "document": "Document",
    "tag": "Tag",
    "date": "Date added",
    "language": "Language",
    "similarity": "Similarity to the question",
    "judged": "Judged and missed",
    "lag": "Embedding lag",
    "excluded": "Left out of search",
}
#: The number of the legend entry of points in no cluster.
NO_CLUSTER = 99_999
_MOST_LABEL = 60
Places = np.ndarray[tuple[int], np.dtype[np.intp]]
Numbers = np.ndarray[tuple[int], np.dtype[np.int32]]


@dataclass(frozen=True)
class Entry:
    """A line of the legend; ``number`` is what the look hides it by."""

    number: int
    label: str
    count: int
    colour: Pair


@dataclass(frozen=True)
class Colouring:
    """``numbers[place]`` is the number of the entry of each point, -1 where there is none.

    ``clusters`` are those at the look's level, whatever the colour. ``problem`` says why nothing is coloured.
    """

    by: Colour
    colours: Colours
    entries: Sequence[Entry]
    clusters: Sequence[Cluster]
    numbers: Numbers
    scale: bool = False
    problem: str = ""

    @property
    def labels(self) -> list[Label]:
        """The names of the clusters where they lie."""
        return [Label(one.x, one.y, one.label[:_MOST_LABEL], one.points) for one in self.clusters]

    def frame(self, title: str) -> Frame:
        """What a downloaded picture shows of the legend."""
        order = {entry.number: place for place, entry in enumerate(self.entries)}
        shown = [LegendEntry(order[entry.number], entry.label) for entry in self.entries[:24]]
        return Frame(title, [one for one in shown if self.entries[one.number].number != NO_CLUSTER])

    def visible(self, hidden: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which places hold a point whose entry isn't hidden."""
        seen: np.ndarray[tuple[int], np.dtype[np.bool_]] = self.numbers >= 0
        return seen & ~np.isin(self.numbers, list(hidden)) if hidden else seen


def colour_by(desk: Desk, look: Look) -> Colouring:
    """The colours of this look, computed once for each state of the map."""
    clusters, groups = _read_clusters(desk, look.level)
    if look.colour == "cluster":
        return _by_cluster(desk, look, clusters, groups)
    arguments = _arguments(desk, look)
    if isinstance(arguments, str):
        plain = _by_cluster(desk, look, clusters, groups)
        colours = Colours("leaf", None, [], [], [], _hidden_of(look, plain.entries))
        return Colouring(look.colour, colours, [], clusters, np.where(plain.numbers >= 0, 0, -1), problem=arguments)
    channel = _read(desk, look.colour, arguments)
    return _by_channel(desk, look, channel, arguments, clusters)


def _read_clusters(desk: Desk, level: int) -> tuple[list[Cluster], dict[int, int]]:
    def read() -> tuple[list[Cluster], dict[int, int]]:
        with connect() as conn:
            return list_clusters(conn, desk.map.id, level), leaf_groups(conn, desk.map.id, level)

    return explore_state.keep(("clusters", desk.map.id, str(desk.version), level), read)


def clusters_at(desk: Desk, level: int) -> list[Cluster]:
    """The clusters of the shown map at a level, largest first."""
    return _read_clusters(desk, level)[0]


def cluster_of_each(desk: Desk, level: int) -> Numbers:
    """The cluster of each place at a level: :data:`NO_CLUSTER` in none, -1 where there is no point."""
    _, groups = _read_clusters(desk, level)

    def read() -> Numbers:
        with connect() as conn:
            leaves = read_leaves(conn, desk.map.id)
        table = np.full(max([*groups, 0]) + 1, NO_CLUSTER, np.int32)
        for leaf, group in groups.items():
            table[leaf] = group
        inside = (leaves >= 0) & (leaves < len(table))
        return np.where(inside, table[np.where(inside, leaves, 0)], np.where(leaves < -1, -1, NO_CLUSTER))

    return explore_state.keep(("groups", desk.map.id, str(desk.version), level), read)


def _by_cluster(desk: Desk, look: Look, clusters: Sequence[Cluster], groups: dict[int, int]) -> Colouring:
    entries = [Entry(one.number, one.label, one.points, own_colour(n)) for n, one in enumerate(clusters)]
    inside = sum(one.points for one in clusters)
    points = desk.version.points if desk.version else 0
    if points > inside:
        entries.append(Entry(NO_CLUSTER, "In no cluster", points - inside, NONE))
    order = {one.number: n for n, one in enumerate(clusters)}
    table = np.full(max([*groups, -1]) + 1, NO_COLOUR, np.int16)
    for leaf, group in groups.items():
        table[leaf] = order.get(group, NO_COLOUR)
    colours = Colours(
        "leaf",
        None,
        table.tolist(),
        [entry.colour.light for entry in entries],
        [entry.colour.dark for entry in entries],
        _hidden_of(look, entries),
    )
    return Colouring("cluster", colours, entries, clusters, cluster_of_each(desk, look.level))


def _by_channel(
    desk: Desk, look: Look, channel: Channel, arguments: dict[str, str], clusters: Sequence[Cluster]
) -> Colouring:
    pairs = colours_of([one.colour for one in channel.legend])
    entries = [Entry(one.number, one.label, one.count, pair) for one, pair in zip(channel.legend, pairs, strict=True)]
    table = np.full(256, NO_COLOUR, np.int16)
    for place, entry in enumerate(entries):
        table[entry.number] = place
    digest = hashlib.sha256(channel.values).hexdigest()[:12]
    address = channel_address(desk.map.id, look.colour, {**arguments, "v": digest})
    colours = Colours(
        "channel",
        address,
        table.tolist(),
        [pair.light for pair in pairs],
        [pair.dark for pair in pairs],
        _hidden_of(look, entries),
    )
    numbers = channel.array.astype(np.int32)
    scale = any(one.colour == "scale" for one in channel.legend)
    return Colouring(look.colour, colours, entries, clusters, np.where(numbers == 255, -1, numbers), scale)


def _hidden_of(look: Look, entries: Sequence[Entry]) -> list[int]:
    """The hidden entries as places in the palette."""
    hidden = set(look.hidden)
    return [
        NO_COLOUR if entry.number == NO_CLUSTER else place
        for place, entry in enumerate(entries)
        if entry.number in hidden
    ]


def _arguments(desk: Desk, look: Look) -> dict[str, str] | str:
    """What the channel needs, or why there is nothing to colour by."""
    if look.colour == "judged":
        return {"run": str(look.run)} if look.run else {}
    if look.colour != "similarity":
        return {}
    if not look.question:
        return "Ask a question: then each passage has the colour of its similarity to it."
    vector = embed(look.question, desk.index) if desk.index else None
    if vector is None:
        return "The embedding model is not there yet; until then nothing can be compared with the question."
    return {"vector": pack_vector(vector)}


def _read(desk: Desk, kind: str, arguments: dict[str, str]) -> Channel:
    def read() -> Channel:
        with connect() as conn:
            return read_channel(conn, desk.map.id, kind, arguments)

    return explore_state.keep(("channel", desk.map.id, str(desk.version), kind, *sorted(arguments.items())), read)


def find_meant(desk: Desk, look: Look) -> tuple[str, Bytes] | None:
    """The address of what dims the others, and 1 for each place that is meant; None where all are.

    Meant is what contains the typed text, within a selection that wasn't drawn: a drawn one has its line to show it.
    """
    selection = read_selection(look.selection)
    arguments = {"text": look.text} if look.text else {}
    if selection is not None and selection.polygon is None:
        arguments["sel"] = look.selection
    if not arguments:
        return None
    channel = _read(desk, "text", arguments)
    return channel_address(desk.map.id, "text", arguments), channel.array
