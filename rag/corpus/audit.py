"""The audit list: who did what. Triggers and the sign-in write it; ``conn`` runs as the person who reads.

People see what they did themselves, owners what was done in their collections, administrators all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.corpus.limits import say_bytes


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. Names and addresses are as they were then; what they name may be gone."""

    id: int
    at: datetime
    actor: UUID | None
    actor_email: str | None
    action: str
    collection_id: UUID | None
    collection_name: str | None
    subject: str
    detail: dict[str, Any]


def list_entries(
    conn: psycopg.Connection[Any],
    *,
    collection: UUID | None = None,
    actor: UUID | None = None,
    actions: Sequence[str] | None = None,
    text: str = "",
    limit: int = 200,
    before: int | None = None,
) -> list[AuditEntry]:
    """The latest entries that the person may see: of one collection, by one ``actor``, of some ``actions``.

    ``text`` has to be in the names, addresses or details, whatever its case; ``before`` is an entry's id.
    """
    with conn.cursor(row_factory=class_row(AuditEntry)) as cursor:
        return cursor.execute(
            """
            select id, at, actor, actor_email, action, collection_id, collection_name, subject, detail
            from public.audit_log
            where (%(collection)s::uuid is null or collection_id = %(collection)s)
              and (%(actor)s::uuid is null or actor = %(actor)s)
              and (%(actions)s::text[] is null or action = any (%(actions)s))
              and (%(text)s = '' or position(%(text)s in lower(
                  concat_ws(' ', actor_email, action, subject, collection_name, detail)
              )) > 0)
              and (%(before)s::bigint is null or id < %(before)s)
            order by id desc limit %(limit)s
            """,
            {
                "collection": collection,
                "actor": actor,
                "actions": list(actions) if actions is not None else None,
                "text": text.strip().lower(),
                "before": before,
                "limit": limit,
            },
        ).fetchall()


def note_export(conn: psycopg.Connection[Any], collection_id: UUID, what: str, rows: int | None = None) -> None:
    """Say that something leaves the collection, in the transaction that reads it: no note, no download."""
    conn.execute("select public.note_export(%s, %s, %s)", [collection_id, what, rows])


def who(entry: AuditEntry, me: UUID | None = None) -> str:
    """Who did it: ``You``, an e-mail address, ``A guest``, or ``Corpuscope`` where nobody asked for it."""
    if entry.actor is None:
        return "Corpuscope"
    if entry.actor == me:
        return "You"
    return entry.actor_email or "A guest"


def describe(entry: AuditEntry, me: UUID | None = None) -> str:
    """The entry as a sentence in plain words; ``me`` becomes ``You``. Names in it come from people: escape them."""
    say = _SENTENCES.get(entry.action)
    words = say(entry) if say else f"{entry.action}: {entry.subject}" if entry.subject else entry.action
    return f"{who(entry, me)} {words}"


def _role(entry: AuditEntry, key: str = "role") -> str:
    given = "administrator" if entry.detail.get("administrator") else entry.detail.get(key)
    return f" as {given}" if given else ""


def _deleted(entry: AuditEntry) -> str:
    return f"deleted {_documents(entry)}"


def _documents(entry: AuditEntry) -> str:
    names = [f"“{name}”" for name in entry.detail.get("names") or [entry.subject]]
    number = int(entry.detail.get("count") or len(names))
    return ", ".join(names) if number <= 3 else f"{number:,} documents, among them {', '.join(names[:3])}"


def _exported(entry: AuditEntry) -> str:
    rows = entry.detail.get("rows")
    return f"downloaded {entry.subject}" + (f" ({rows:,} {'row' if rows == 1 else 'rows'})" if rows is not None else "")


def _limits(entry: AuditEntry) -> str:
    whose = entry.subject or entry.collection_name or "a collection"
    for_all = whose.startswith("every ")
    values = [
        f"{what}: {'no limit' if value is None else say_bytes(value) if what == 'bytes' else f'{value:,}'}"
        for what, value in entry.detail.items()
        if for_all or value is not None
    ]
    if not values:
        return f"gave {whose} the default limits again"
    return f"changed the limits of {whose} ({', '.join(values)})"


def _profile(verb: str) -> Callable[[AuditEntry], str]:
    def say(entry: AuditEntry) -> str:
        version = entry.detail.get("version")
        return f"{verb.format(f'“{entry.subject}”')}" + (f" (version {version})" if version else "")

    return say


def _named(name: str | None, version: int | None) -> str:
    return f"“{name}” (version {version})" if name else "what the product comes with"


def _default(entry: AuditEntry) -> str:
    before = _named(entry.detail.get("before"), entry.detail.get("before_version"))
    return f"made the profile {_named(entry.subject, entry.detail.get('version'))} the default, before {before}"


def _default_undone(entry: AuditEntry) -> str:
    undone = _named(entry.detail.get("before"), entry.detail.get("before_version"))
    now = _named(entry.subject, entry.detail.get("version"))
    return f"took back that the profile {undone} is the default, which is {now} again"


_SENTENCES: dict[str, Callable[[AuditEntry], str]] = {
    "shared": lambda entry: f"gave {entry.subject} access{_role(entry)}",
    "role changed": lambda entry: (
        f"made {entry.subject} {entry.detail.get('role')}, before {entry.detail.get('before')}"
    ),
    "access removed": lambda entry: f"took access away from {entry.subject}, before {entry.detail.get('before')}",
    "inherited": lambda entry: f"took “{entry.collection_name}” over, since {entry.subject} had been its last owner",
    "left": lambda entry: f"left, before {entry.detail.get('before')}",
    "invited": lambda entry: f"invited {entry.subject}{_role(entry)}",
    "invitation accepted": lambda entry: f"accepted an invitation{_role(entry)}",
    "invitation revoked": lambda entry: f"revoked the invitation of {entry.subject}{_role(entry)}",
    "made public": lambda entry: f"made “{entry.subject}” public: everybody may read it",
    "made private": lambda entry: f"made “{entry.subject}” private again",
    "collection made": lambda entry: f"made the collection “{entry.subject}”",
    "collection renamed": lambda entry: f"renamed “{entry.detail.get('before')}” to “{entry.subject}”",
    "collection deleted": lambda entry: f"deleted the collection “{entry.subject}”",
    "documents deleted": _deleted,
    "documents put in the trash": lambda entry: f"put {_documents(entry)} in the trash",
    "documents moved": lambda entry: f"moved {_documents(entry)} to “{entry.detail.get('to')}”",
    "exported": _exported,
    "profile saved": _profile("saved the profile {}"),
    "profile made default": _default,
    "profile default undone": _default_undone,
    "profile deleted": _profile("deleted the profile {}"),
    "index build begun": lambda entry: f"began to build an index with {entry.subject} of “{entry.collection_name}”",
    "index made active": lambda entry: f"made another index the active one of “{entry.collection_name}”",
    "index dropped": lambda entry: f"dropped an index of “{entry.collection_name}”",
    "account made": lambda entry: f"made the account {entry.subject}",
    "account deleted": lambda entry: f"deleted the account {entry.subject}",
    "account closed": lambda entry: f"closed the account {entry.subject}",
    "account opened": lambda entry: f"opened the account {entry.subject} again",
    "made administrator": lambda entry: f"made {entry.subject} administrator",
    "no longer administrator": lambda entry: f"made {entry.subject} an ordinary account again",
    "name changed": lambda entry: (
        f"changed the name of {entry.subject} to “{entry.detail.get('name')}”, before “{entry.detail.get('before')}”"
    ),
    "password changed": lambda entry: f"changed the password of {entry.subject}",
    "password reset link made": lambda entry: f"made a link with which {entry.subject} can choose a password",
    "limits changed": _limits,
    "password reset": lambda entry: f"chose a new password for {entry.subject} by a link",
    "account linked": lambda entry: f"linked the account {entry.subject} with the provider",
    "guest entered": lambda entry: "came in",
    "signed in": lambda entry: "signed in",
    "sign-in failed": lambda entry: f"refused to sign in {entry.subject}",
    "locked out": lambda entry: f"locked {entry.subject} out for a while, after too many tries",
    "signed out": lambda entry: "signed out",
    "signed out everywhere": lambda entry: f"signed {entry.subject} out everywhere",
    "session ended": lambda entry: f"ended a session of {entry.subject}",
}
