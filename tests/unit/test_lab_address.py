"""Addresses of the Search lab: what is written is read again, and what can't be meant becomes a sentence."""

from __future__ import annotations

import random
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import pytest

from pages.parts.lab_address import MAX_DOCUMENTS, MAX_QUESTION, Side, View, lab_keys, lab_query, read_view, write_view
from rag.retrieval.profiles import RetrievalProfile

COLLECTION = UUID(int=7)

CHARACTERS = "abc äß漢😀 &=?#%+,'\"<>\\/@\u202e\u0301;:|"


def some_text(rng: random.Random, most: int = 40) -> str:
    return "".join(rng.choices(CHARACTERS, k=rng.randint(1, most))).strip() or "x"


def some_side(rng: random.Random) -> Side:
    settings = {
        "mode": rng.choice(["dense", "lexical", "hybrid"]),
        "k": rng.randint(1, 1000),
        "threshold": rng.choice([None, rng.uniform(-1, 1), 0.35]),
        "fusion": rng.choice(["convex", "rrf"]),
        "dense_weight": rng.random(),
        "rrf_k": rng.randint(1, 1000),
        "ef_search": rng.randint(1, 1000),
    }
    changes = {name: value for name, value in settings.items() if rng.random() < 0.5}
    name = some_text(rng) if rng.random() < 0.5 else None
    version = rng.randint(1, 99) if name and rng.random() < 0.5 else None
    return Side(name, version, changes, rng.choice([None, rng.randint(1, 2**40)]))


@pytest.mark.parametrize("seed", range(200))
def test_what_is_written_is_read_again(seed: int) -> None:
    rng = random.Random(seed)
    view = View(
        some_text(rng, 90) if rng.random() < 0.9 else "",
        some_side(rng),
        some_side(rng) if rng.random() < 0.5 else None,
        tuple(UUID(int=rng.getrandbits(128)) for _ in range(rng.randint(0, 5))),
        rng.choice([None, rng.randint(1, 2**40)]),
    )
    address = urlencode(write_view(view))
    assert read_view(dict(parse_qsl(address, keep_blank_values=True))) == (view, [])


KEYS = ["q", "only", "scope", *lab_keys(), *(f"vs_{key}" for key in lab_keys()), "vs_", "vs_x", "nonsense"]
VALUES = [
    "",
    " ",
    "0",
    "-1",
    "1",
    "12",
    "1e999",
    "nan",
    "none",
    "hybrid",
    "Words",
    "rrf",
    "\x00",
    "٣",
    "9" * 400,
    "a,b",
]


@pytest.mark.parametrize("seed", range(200))
def test_no_address_breaks_the_page(seed: int) -> None:
    rng = random.Random(seed)
    view, problems = read_view(
        {key: rng.choice([*VALUES, some_text(rng)]) for key in rng.sample(KEYS, rng.randint(1, 12))}
    )
    assert all(problem.endswith(".") for problem in problems)
    view.side.apply(RetrievalProfile())
    if view.other is not None:
        view.other.apply(RetrievalProfile())
    assert read_view(write_view(view)) == (view, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", "many"),
        ("k", "0"),
        ("k", "9" * 5000),
        ("threshold", "7"),
        ("threshold", "nan"),
        ("mode", "<script>"),
        ("fusion", "cold"),
        ("version", "-1"),
        ("index", "1e3"),
        ("vs_index", "٣"),
        ("only", "not-a-uuid"),
    ],
)
def test_what_cannot_be_meant_is_said_and_left_out(name: str, value: str) -> None:
    view, problems = read_view({"q": "pump", "profile": "Careful", name: value})
    assert len(problems) == 1
    assert view.question == "pump"
    assert view.side == Side("Careful")
    assert view.documents == ()
    assert len(problems[0]) < 250


def test_the_words_of_the_page_are_understood_for_modes() -> None:
    assert read_view({"mode": "Words"})[0].side.changes == {"mode": "lexical"}
    assert read_view({"mode": "Meaning"})[0].side.changes == {"mode": "dense"}
    assert read_view({"mode": "Hybrid"})[0].side.changes == {"mode": "hybrid"}


def test_a_link_with_a_profile_writes_every_setting_out() -> None:
    profile = RetrievalProfile(mode="dense", k=7, threshold=0.25)
    query = lab_query(COLLECTION, "pump?", profile, "Careful", index_id=4)
    assert query["collection"] == str(COLLECTION)
    view, problems = read_view(query)
    assert not problems
    assert view.side.apply(RetrievalProfile(k=99, threshold=0.9, fusion="rrf")) == profile
    assert view.side.index == 4
    assert view.other == Side("Careful")


def test_a_comparison_with_nothing_of_its_own_is_still_one() -> None:
    assert read_view(write_view(View("pump", Side("A"), Side())))[0].other == Side()


def test_long_questions_and_many_documents_are_cut() -> None:
    view, problems = read_view({"q": "x" * (MAX_QUESTION + 1), "only": ",".join(str(UUID(int=n)) for n in range(99))})
    assert len(view.question) == MAX_QUESTION
    assert len(problems) == 1
    assert len(view.documents) == MAX_DOCUMENTS
