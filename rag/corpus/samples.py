"""The sample corpus: papers of an invented maker of weather stations, written for this package (Apache-2.0)."""

from __future__ import annotations

from importlib.resources import files
from io import BytesIO
from typing import Any
from uuid import UUID

import psycopg

from rag.corpus.collections import create_collection, find_collection
from rag.corpus.documents import store_document
from rag.errors import NotFound

SAMPLE_NAME = "Sample corpus"
SAMPLE_DESCRIPTION = "Papers of Larkspur Instruments, an invented maker of weather stations."

#: Questions that the corpus answers, easy ones first.
SAMPLE_QUESTIONS: tuple[str, ...] = (
    "How many days of paid leave does an employee have?",
    "What does error E07 mean, and who pays for the new sensor?",
    "What happened to the stations in the night of 17 February 2026?",
    "When must work on a mast stop because of wind or lightning?",
    "How well does the night correction of humidity work near the coast?",
    "How much does the Osprey buoy with current profiler cost?",
    "Warum zeigt die Temperatur auf dem Balkon zu viel an?",
    "Which supplier limit was changed because of the humidity errors?",
)

_LIMIT_BYTES = 2**20


def load_sample(conn: psycopg.Connection[Any]) -> UUID:
    """Put the sample documents into the person's collection "Sample corpus", made if missing; returns its id.

    Loading it again adds only what was deleted since.
    """
    collection_id = _find_own(conn) or create_collection(conn, SAMPLE_NAME, SAMPLE_DESCRIPTION)
    for name, data in read_sample_files():
        store_document(conn, collection_id, name, BytesIO(data), on_name="keep_both", max_bytes=_LIMIT_BYTES)
    return collection_id


def _find_own(conn: psycopg.Connection[Any]) -> UUID | None:
    try:
        found = find_collection(conn, SAMPLE_NAME)
    except NotFound:
        return None
    return None if found.role == "viewer" else found.id


def read_sample_files() -> list[tuple[str, bytes]]:
    """Name and bytes of every sample document, by name."""
    folder = files("rag.corpus").joinpath("sample_corpus")
    return sorted((entry.name, entry.read_bytes()) for entry in folder.iterdir() if entry.is_file())
