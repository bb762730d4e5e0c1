"""What a job of evaluation works with: a run, questions to draft, settings to search for. All run in a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from rag.errors import CorpuscopeError, DatabaseUnavailable, ModelNotReady, ProviderBusy
from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.modelpool import ModelPool
from rag.work.leases import LeaseLost

log = logging.getLogger(__name__)

#: (connection of the worker, number, reason): why nothing happens for a while.
NoteWaiting = Callable[[Connection[Any], int, str], None]
#: (connection of the worker, number, reason, hint): why nothing came of it.
GiveUp = Callable[[Connection[Any], int, str, str], None]


class ErrandEnded(CorpuscopeError):
    """Somebody cancelled or deleted what the errand is about."""


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

    @contextmanager
    def ending_in_words(self, what: str, number: int, note_waiting: NoteWaiting, give_up: GiveUp) -> Iterator[None]:
        """Whatever goes wrong within the block ends in the row of ``what`` with this number, in words.

        Raised are :class:`LeaseLost`, :class:`ProviderBusy`, :class:`ModelNotReady` and :class:`DatabaseUnavailable`,
        after which it goes on later, and bugs, once they are written down.
        """
        try:
            yield
        except ErrandEnded:
            log.info("%s %d was cancelled, deleted or taken over.", what, number)
        except (DatabaseUnavailable, LeaseLost, ModelNotReady):
            raise
        except ProviderBusy as busy:
            with self.database.as_worker() as conn:
                note_waiting(conn, number, str(busy))
            raise
        except CorpuscopeError as error:
            with self.database.as_worker() as conn:
                give_up(conn, number, str(error), error.hint)
        except Exception:
            with self.database.as_worker() as conn:
                give_up(conn, number, f"{what} failed unexpectedly.", "Try again; the log has the details.")
            raise
