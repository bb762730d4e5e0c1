"""A collection with something wrong in every way that a health check looks for, and the worker's part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from uuid import UUID

import numpy as np

from rag.evaluation.errand import Errand
from rag.health.health_checks import HealthCheck, read_check, start_check
from rag.health.health_job import check_health
from rag.settings import load_settings
from rag.store.database import Database
from rag.vectors.modelpool import ModelPool
from tests.integration.library import Library

FOOTER = "Sheet {} of the yearly report\nAll rights reserved by the company."
SUBJECTS = (
    "pump",
    "lake",
    "mill",
    "bridge",
    "harbour",
    "garden",
    "tower",
    "market",
    "station",
    "library",
    "bakery",
    "inn",
)
DETAILS = ("repaired", "painted", "measured", "photographed", "visited", "described", "drawn", "insured")


def story(number: int) -> str:
    """About sixty words that no other number has."""
    subject, rng = SUBJECTS[number % len(SUBJECTS)], np.random.default_rng(number)
    verbs, town = rng.permutation(DETAILS)[:4], "".join(rng.choice(list("abcdefgh"), 8)).capitalize()
    return " ".join(
        f"In the year {1500 + 7 * number + step} the {subject} of {town} was {verb} by {name} of the {town} family."
        for step, (verb, name) in enumerate(zip(verbs, ("Anna", "Boris", "Clara", "David"), strict=True))
    )


class Ailing(Library):
    """Twenty-four documents of one passage each, and the ailing ones by name."""

    def __init__(self, database: Database, user: UUID) -> None:
        super().__init__(database, user, {f"story-{n:02}.txt": story(n) for n in range(24)})
        self.ids: dict[str, UUID] = {}
        first = story(3)
        sentences = [f"{part}." for part in first.rstrip(".").split(". ")]
        ailing = {
            "exact.txt": f"{first}\n",
            "spaces.txt": first.replace(" ", "\n"),
            "word.txt": first.replace("Clara", "Carla"),
            "order.txt": " ".join(reversed(sentences)),
            "short.txt": "See there.",
            "long.txt": story(100),
            "german.txt": "Die Pumpe des Hauses steht im Keller, und der Schlüssel liegt auf dem Brett neben der Tür.",
            "far.txt": "Whisk eggs with sugar until pale, fold in mascarpone, dust with cocoa and serve cold.",
        }
        ailing |= {f"report-{n}.txt": f"{story(40 + n)}\n{FOOTER.format(n)}" for n in range(4)}
        for name, text in ailing.items():
            self.ids[name] = self.add(name, text)
        with database.as_worker() as conn:
            conn.execute("update public.chunks set token_count = 999 where document_id = %s", [self.ids["long.txt"]])

    def chunk(self, name: str) -> int:
        """The passage of a document."""
        return int(self.value("select id from public.chunks where document_id = %s", self.ids[name]))

    def start(self, user: UUID | None = None) -> int:
        """Ask for a check."""
        with self.database.as_user(user or self.user) as conn:
            return start_check(conn, self.collection)

    def check(self, still_ours: Callable[[], bool] = lambda: True) -> HealthCheck:
        """Ask for a check and do it."""
        number = self.start()
        check_health(self.errand(still_ours), number, noted_every_s=0)
        return self.look(number)

    def look(self, number: int) -> HealthCheck:
        """The check as it is now."""
        with self.database.as_user(self.user) as conn:
            return read_check(conn, number)

    def errand(self, still_ours: Callable[[], bool] = lambda: True) -> Errand:
        """A worker's tools; the models are never asked for."""
        return Errand(self.database, cast(ModelPool, None), load_settings(None), still_ours)
