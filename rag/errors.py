"""The one error tree. A class docstring is the default message; pages and the CLI show ``str(error)``.

Foreign errors (``psycopg.Error``, ``openai.APIError``, ``OSError``) are translated where they enter, with
``__cause__`` kept. Anything that is not a :class:`CorpuscopeError` is a bug and belongs in the log.
"""

from __future__ import annotations

import inspect


class CorpuscopeError(Exception):
    """Something went wrong."""

    #: What the reader can do next, in one sentence; empty when there is nothing to do.
    hint: str = ""

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)) or "")
        if hint is not None:
            self.hint = hint


class SettingsError(CorpuscopeError):
    """A setting has a value that can't be used."""


class DatabaseError(CorpuscopeError):
    """The database did not do what was asked."""

    hint = "Try again in a moment; the log has the details."


class DatabaseUnavailable(DatabaseError):
    """The database can't be reached."""

    hint = "Check that it runs and that DATABASE_URL is right."


class MigrationError(DatabaseError):
    """The database schema could not be brought up to date."""


class NotFound(CorpuscopeError):
    """That doesn't exist, or you have no access to it."""


class NotAllowed(CorpuscopeError):
    """You have no permission to do that."""


class InvalidInput(CorpuscopeError):
    """That input can't be used."""


class LimitReached(CorpuscopeError):
    """A limit of this installation is reached."""


class SignInNeeded(CorpuscopeError):
    """You are not signed in, or your session has ended."""

    hint = "Sign in again."


class SignInRefused(CorpuscopeError):
    """The e-mail address or the password is wrong."""

    hint = "Try again, or ask an administrator for a link to choose a new password."


class SignInBlocked(SignInRefused):
    """There were too many attempts to sign in.

    ``retry_after`` is in seconds.
    """

    def __init__(self, message: str | None = None, *, retry_after: float, hint: str | None = None) -> None:
        super().__init__(message or "There were too many attempts to sign in.", hint=hint)
        self.retry_after = retry_after


class SignInUnavailable(CorpuscopeError):
    """The server that signs people in can't be reached."""

    hint = "Try again in a moment."


class StorageError(CorpuscopeError):
    """The bucket of originals did not do what was asked."""

    hint = "docs/supabase.md says how the bucket is set up; `corpuscope doctor` looks at it."


class StorageBusy(StorageError):
    """The bucket of originals can't be reached."""

    hint = "Try again in a moment."


class OriginalLost(StorageError):
    """The original of this document is not where it was put, or is not what was put there."""

    hint = "Upload the file again to have it back; what was read of it stays searchable."


class ModelError(CorpuscopeError):
    """The embedding model can't be used."""


class ModelNotReady(ModelError):
    """The embedding model is still loading."""

    hint = "This takes a few seconds on the first start."


class Cancelled(CorpuscopeError):
    """This was cancelled."""


class ParseError(CorpuscopeError):
    """The file could not be read."""


class UnsupportedType(ParseError):
    """This type of file is not supported."""

    hint = "Convert it to PDF, DOCX or plain text and upload it again."


class NoText(ParseError):
    """No text was found in this file."""

    hint = "If it is a scan or a picture, run OCR on it first and upload the result."


class ParseLimit(ParseError):
    """The file is too large, too slow or too deeply packed to read safely."""

    hint = "Split it into smaller files and upload those."


class PasswordNeeded(ParseError):
    """The file is protected by a password."""

    hint = "Save a copy without the password and upload that."


class ProviderError(CorpuscopeError):
    """The model provider answered with an error."""


class ProviderBusy(ProviderError):
    """The model provider is busy; the work is tried again later.

    ``retry_after`` is the provider's own wish in seconds, or None.
    """

    def __init__(
        self, message: str | None = None, *, retry_after: float | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message or "The model provider is busy; the work is tried again later.", hint=hint)
        self.retry_after = retry_after


class ProviderRefused(ProviderError):
    """The model provider refused this input; trying the same again won't help."""


class TextTooLong(ProviderRefused):
    """This text is longer than the embedding model reads."""

    hint = "Make the chunk shorter."
