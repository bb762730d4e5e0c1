"""A Supabase project over HTTP, as doctor asks it: short, without retries, and without a word of the keys in errors."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from rag.errors import CorpuscopeError
from rag.settings import Settings

_TIMEOUT_S = 10.0


class ProjectUnreachable(CorpuscopeError):
    """The Supabase project doesn't answer."""

    hint = "Check SUPABASE_URL; a free project sleeps after a week without use: wake it in the dashboard."


@dataclass(frozen=True, slots=True)
class Answer:
    """What the project answered; ``body`` is {} where that was no JSON object."""

    status: int
    body: Mapping[str, Any]
    server_time: datetime | None
    asked_at: datetime
    came_at: datetime


@dataclass
class ProjectLine:
    """The project that the settings name."""

    url: str
    publishable_key: str
    secret_key: str = field(repr=False)
    _client: httpx2.Client = field(repr=False)

    def ask(
        self, path: str, *, secret: bool = False, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask for ``path`` with one of the two keys. Raises :class:`ProjectUnreachable`."""
        key = self.secret_key if secret else self.publishable_key
        asked_at = datetime.now(UTC)
        try:
            answer = self._client.request(method, f"{self.url}{path}", headers={**_credentials(key), **(headers or {})})
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ProjectUnreachable(f"{self.url} doesn't answer ({type(error).__name__}).") from error
        return Answer(answer.status_code, _read(answer), _time(answer), asked_at, datetime.now(UTC))


def _credentials(key: str) -> dict[str, str]:
    """The newer keys are no tokens: they go into their own header alone."""
    if not key:
        return {}
    return {"apikey": key} if key.startswith("sb_") else {"apikey": key, "Authorization": f"Bearer {key}"}


def _read(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _time(answer: httpx2.Response) -> datetime | None:
    try:
        said = parsedate_to_datetime(answer.headers["date"])
    except (KeyError, ValueError):
        return None
    return said if said.tzinfo else said.replace(tzinfo=UTC)  # it is always GMT's


def claims_of(key: str) -> Mapping[str, Any]:
    """What an older key, a token, says of itself, unverified; {} of a newer one."""
    parts = key.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


@contextmanager
def project_line(settings: Settings) -> Iterator[ProjectLine]:
    """A line to the project for the length of the block."""
    with httpx2.Client(timeout=_TIMEOUT_S, follow_redirects=False) as client:
        secret = settings.supabase_secret_key.get_secret_value()
        yield ProjectLine(settings.supabase_url.rstrip("/"), settings.supabase_publishable_key, secret, client)
