"""What a job of evaluation works with: a run, questions to draft, settings to search for. All run in a worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.modelpool import ModelPool
from rag.work.leases import LeaseLost


@dataclass(frozen=True)
class Errand:
    """One job's tools. ``still_ours`` is false once another worker may have the job, or this one stops."""

    database: Database
    models: ModelPool
    settings: Settings
    still_ours: Callable[[], bool]

    def check(self) -> None:
        """Raise :class:`LeaseLost` when the job is somebody else's: it comes back, and goes on where it stopped."""
        if not self.still_ours():
            raise LeaseLost
