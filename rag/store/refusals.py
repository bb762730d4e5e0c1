"""What the database driver raises, in plain words and as our own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from rag.errors import CorpuscopeError, DatabaseError, DatabaseUnavailable, InvalidInput, LimitReached, NotAllowed

#: What the triggers that keep limits raise.
_LIMIT = "CSLIM"


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into ours for the block."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from error


def translate(error: psycopg.Error) -> CorpuscopeError:
    """Plain words for a driver's error: no connection, no right, refused by a rule of the schema, or the rest.

    ``raise exception`` in a function of the schema is written for people: its message becomes an InvalidInput.
    """
    said = error.diag.message_primary or str(error).strip().splitlines()[-1:]
    if error.sqlstate == _LIMIT:
        return LimitReached(error.diag.message_primary, hint=error.diag.message_hint)
    match error:
        case psycopg.errors.InsufficientPrivilege():
            # Said by a function of the schema, it is written for people; said by Postgres, it names tables.
            ours = error.diag.source_function == "exec_stmt_raise"
            return NotAllowed(error.diag.message_primary if ours else None, hint=error.diag.message_hint)
        case psycopg.errors.RaiseException():
            return InvalidInput(error.diag.message_primary, hint=error.diag.message_hint)
        case psycopg.errors.QueryCanceled():
            return DatabaseError("That took too long and was stopped.", hint="Ask for less at once, or try again.")
        case psycopg.errors.DiskFull():
            return DatabaseError("The disk of the database is full.", hint="Free some space, then try again.")
        case psycopg.errors.LockNotAvailable() | psycopg.errors.DeadlockDetected():
            return DatabaseError("Somebody else is changing the same thing.", hint="Try again in a moment.")
        case psycopg.OperationalError():
            return DatabaseUnavailable(f"The database can't be reached: {_plain(said)}")
    return DatabaseError(f"The database refused that: {_plain(said)}")


def _plain(said: str | list[str]) -> str:
    text = said if isinstance(said, str) else " ".join(said)
    return text.removeprefix("FATAL:").strip().rstrip(".") + "."
