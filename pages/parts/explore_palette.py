"""The colours of Explore, in pairs for light and dark: categories that can be told apart, scales, and meanings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rag.mapping.channels import Ink


class Pair(NamedTuple):
    """The same colour on a light and on a dark ground, as #rrggbb."""

    light: str
    dark: str


#: The first eight are the charts' own; neighbours in this order differ in hue and lightness.
OWN = (
    Pair("#2a78d6", "#5b9cf0"),
    Pair("#eb6834", "#f58a5b"),
    Pair("#1baf7a", "#3fcf9a"),
    Pair("#eda100", "#f6bd3b"),
    Pair("#e87ba4", "#f09bbd"),
    Pair("#008300", "#4fb34f"),
    Pair("#4a3aa7", "#9184e8"),
    Pair("#e34948", "#f47574"),
    Pair("#12a3b8", "#45c8da"),
    Pair("#96682c", "#c79a5e"),
    Pair("#9aac17", "#c3d344"),
    Pair("#b04ec8", "#d084e2"),
)
#: From nothing to much: the low end recedes into the ground.
SCALE = tuple(
    Pair(light, dark)
    for light, dark in zip(
        ["#dce3ea", "#c6d6e8", "#a9c7e8", "#86b2e4", "#639adc", "#427fd0", "#2c66bd", "#1d4ea3", "#173a80", "#13285c"],
        ["#26303c", "#263b50", "#294a6c", "#2d5c8c", "#3473ae", "#408bcd", "#5aa6e4", "#82c1f2", "#b1daf9", "#e6f5ff"],
        strict=True,
    )
)
NONE = Pair("#c3cbd6", "#465260")
_MEANT: dict[Ink, Pair] = {
    "other": Pair("#8592a3", "#78869a"),
    "none": NONE,
    "good": Pair("#178a5e", "#3fbf8a"),
    "bad": Pair("#d03b3b", "#ef6b6b"),
    "waiting": Pair("#d9792b", "#e8974f"),
}


def own_colour(number: int) -> Pair:
    """That of a category; after the twelfth they come again."""
    return OWN[number % len(OWN)]


def colours_of(inks: Sequence[Ink]) -> list[Pair]:
    """A colour for each entry of a legend; those of a scale are spread over all of it."""
    steps, owns = sum(ink == "scale" for ink in inks), 0
    found, step = [], 0
    for ink in inks:
        if ink == "own":
            found.append(own_colour(owns))
            owns += 1
        elif ink == "scale":
            found.append(SCALE[round(step * (len(SCALE) - 1) / max(1, steps - 1)) if steps > 1 else len(SCALE) // 2])
            step += 1
        else:
            found.append(_MEANT[ink])
    return found
