"""A sign-in under way at a Supabase project: what is remembered until somebody is back from there or from their mail.

A redirect from elsewhere begins with nothing but a cookie: its random id names the row that has the PKCE verifier.
``conn`` is from ``Database.as_accounts()``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, Literal

from psycopg import Connection

from rag.auth.sealing import Seal
from rag.auth.secret_tokens import hash_token, new_token

#: Mail takes its time; codes are good for an hour by default.
LASTS = timedelta(hours=1)

#: What is waited for: the provider's or the message's redirect, or a code; or a new password after a recovery's.
FlowKind = Literal["provider", "email", "signup", "recovery", "new password"]


@dataclass(frozen=True, slots=True)
class Flow:
    """``verifier`` is PKCE's. The rest is of a recovery whose code was right."""

    kind: FlowKind
    goal: str = "/"
    email: str = ""
    verifier: str = field(default="", repr=False)
    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)
    expires_at: float = 0.0
    user_id: str = ""


def begin_flow(conn: Connection[Any], seal: Seal, flow: Flow) -> str:
    """Remember it; the id, for a cookie."""
    token = new_token()
    hashed = hash_token(token)
    conn.execute(
        "insert into corpuscope.sign_in_flows (id_hash, state, expires_at) values (%s, %s, now() + %s)",
        [hashed, seal.close(json.dumps(asdict(flow)).encode(), bound_to=hashed), LASTS],
    )
    return token


def find_flow(conn: Connection[Any], seal: Seal, token: str) -> Flow | None:
    """What is remembered under an id, which stays good: a code can be mistyped."""
    hashed = hash_token(token)
    row = conn.execute(
        "select state from corpuscope.sign_in_flows where id_hash = %s and expires_at > now()", [hashed]
    ).fetchone()
    return _read(seal, row, hashed)


def take_flow(conn: Connection[Any], seal: Seal, token: str) -> Flow | None:
    """The same, once: of several at once one gets it."""
    hashed = hash_token(token)
    row = conn.execute(
        "delete from corpuscope.sign_in_flows where id_hash = %s returning state, expires_at > now()", [hashed]
    ).fetchone()
    return _read(seal, row, hashed) if row and row[1] else None


def _read(seal: Seal, row: Any, hashed: bytes) -> Flow | None:
    text = seal.open(bytes(row[0]), bound_to=hashed) if row else None
    return Flow(**json.loads(text)) if text is not None else None
