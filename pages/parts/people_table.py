"""The table of people with an account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages.parts.row_picker import pick_row
from pages.parts.words import count, to_local
from rag.auth.administration import PersonRow

SIGN_IN = {"password": "Password", "provider": "Provider", "none": "Not yet"}
_ROLES = {"Administrator": "blue", "Member": "gray", "Closed": "red"}


def role_of(person: PersonRow) -> str:
    """What the account may do, in a word."""
    if not person.is_open:
        return "Closed"
    return "Administrator" if person.is_administrator else "Member"


def summary(people: Sequence[PersonRow]) -> str:
    """``12 people · 2 administrators · 1 account closed``."""
    administrators = sum(person.is_administrator and person.is_open for person in people)
    closed = sum(not person.is_open for person in people)
    parts = [count(len(people), "person", "people"), count(administrators, "administrator")]
    return " · ".join([*parts, *([f"{count(closed, 'account')} closed"] if closed else [])])


def people_table(people: Sequence[PersonRow]) -> PersonRow | None:
    """Draw it and return whom the address names."""
    config = st.column_config
    picked = pick_row(
        [_row(person) for person in people],
        [person.user_id for person in people],
        parameter="person",
        columns={
            "E-mail": config.TextColumn(width=176),
            "Name": config.TextColumn(width=105),
            "Role": config.MultiselectColumn(
                options=list(_ROLES), color=list(_ROLES.values()), width=110, disabled=True
            ),
            "Sign-in": config.TextColumn(width=76),
            "Last seen": config.DatetimeColumn(format="D MMM, HH:mm", width=104),
            "Sessions": config.NumberColumn(width=68),
            "Collections": config.NumberColumn(width=82),
            "Files": config.NumberColumn(width=50),
            "Space": config.NumberColumn(format="bytes", width=68),
            "Asked today": config.NumberColumn(width=85),
        },
        alt="People with an account and what they use",
    )
    return next((person for person in people if person.user_id == picked), None)


def matching(people: Sequence[PersonRow], part: str) -> list[PersonRow]:
    """Those whose name or e-mail address holds ``part``."""
    wanted = part.casefold().strip()
    return [person for person in people if wanted in f"{person.name} {person.email}".casefold()]


def _row(person: PersonRow) -> dict[str, Any]:
    return {
        "E-mail": person.email,
        "Name": person.name,
        "Role": [role_of(person)],
        "Sign-in": SIGN_IN[person.sign_in],
        "Last seen": to_local(person.last_seen_at) if person.last_seen_at else None,
        "Sessions": person.sessions,
        "Collections": person.collections,
        "Files": person.files,
        "Space": person.bytes,
        "Asked today": person.questions_today,
    }
