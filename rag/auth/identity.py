"""The person of a request: one object, made by whoever verified the session, and read by everything else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rag.records import LOCAL_USER


@dataclass(frozen=True, slots=True)
class Identity:
    """A person whose session was verified for this run. Never kept in anything that sessions share.

    ``session_id`` is None for the local user of an installation without sign-in, whose session never ends.
    """

    user_id: UUID
    email: str
    name: str = ""
    is_administrator: bool = False
    is_guest: bool = False
    session_id: UUID | None = None
    expires_at: datetime | None = None

    @property
    def claims(self) -> dict[str, Any]:
        """What the database is told, in the names that Supabase's tokens use."""
        claims: dict[str, Any] = {"sub": str(self.user_id), "role": "authenticated", "is_anonymous": self.is_guest}
        if self.email:
            claims["email"] = self.email
        if self.session_id is not None:
            claims["session_id"] = str(self.session_id)
        return claims

    @property
    def label(self) -> str:
        """How pages call this person."""
        return self.name or self.email or "Guest"


#: The one person of an installation without sign-in.
LOCAL_IDENTITY = Identity(LOCAL_USER, "", name="You", is_administrator=True)
