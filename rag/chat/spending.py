"""What chat models have cost, against the caps of the settings. SQL on ``model_use``, ``conn`` passed in.

A cap is looked at before a model is asked and counted afterwards, so the answer that reaches it is finished.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rag.chat.chat_records import Usage
from rag.errors import LimitReached
from rag.settings import Settings

Scope = Literal["conversation", "person", "everybody"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used within one scope: a conversation in all, a person or everybody today (UTC)."""

    scope: Scope
    tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class Cap:
    """One cap, and how much of it is used; ``setting`` is where an administrator raises it."""

    scope: Scope
    what: Literal["tokens", "money"]
    used: float
    allowed: float
    setting: str

    @property
    def is_reached(self) -> bool:
        """Whether no model may be asked any more."""
        return self.used >= self.allowed


@dataclass(frozen=True, slots=True)
class ModelUse:
    """One person's use of one model on one day, for administrators."""

    day: date
    person: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    estimated_tokens: int
    cost: float


def check(conn: psycopg.Connection[Any], settings: Settings, chat_id: UUID | None, user_id: UUID, model: str) -> None:
    """Raise :class:`LimitReached`, in words, when ``model`` may not be asked for this conversation or person now.

    ``conn`` runs as the worker; ``chat_id`` is None for what is asked outside conversations.
    """
    if not any(allowed for *_, allowed in _caps(settings)):
        return
    if _money_is_capped(settings) and price_of(settings, model) is None:
        raise LimitReached(
            f"Spending is capped, and the chat model “{model}” has no price.",
            hint="Choose another model, or ask an administrator to name its price in CHAT_PRICES.",
        )
    with conn.cursor(row_factory=class_row(Spent)) as cursor:
        rows = cursor.execute(
            "select scope, tokens, cost::float as cost from corpuscope.sum_model_use(%s, %s)", [user_id, chat_id]
        ).fetchall()
    for cap in weigh(settings, rows):
        if cap.is_reached and (cap.scope != "conversation" or chat_id is not None):
            raise _refusal(cap)


def record(
    conn: psycopg.Connection[Any], settings: Settings, chat_id: UUID | None, user_id: UUID, model: str, usage: Usage
) -> None:
    """Count what ``model`` was asked; ``conn`` runs as the worker."""
    if usage.total:
        conn.execute(
            "select corpuscope.record_model_use(%s, %s, %s, %s, %s, %s, %s::numeric)",
            [user_id, chat_id, model, usage.prompt_tokens, usage.completion_tokens, usage.exact,
             cost_of(settings, model, usage) or 0],
        )  # fmt: skip


def read_caps(conn: psycopg.Connection[Any], settings: Settings, chat_id: UUID | None = None) -> list[Cap]:
    """The caps on the caller and on a conversation that they see, with what is used. Without caps nothing is asked."""
    if not any(allowed for *_, allowed in _caps(settings)):
        return []
    with conn.cursor(row_factory=class_row(Spent)) as cursor:
        rows = cursor.execute(
            "select scope, tokens, cost::float as cost from public.my_model_use(%s)", [chat_id]
        ).fetchall()
    return [cap for cap in weigh(settings, rows) if cap.scope == "person" or chat_id is not None]


def list_model_use(conn: psycopg.Connection[Any], days: int = 7) -> list[ModelUse]:
    """Who used which model in the last days, newest first; administrators only."""
    with conn.cursor(row_factory=class_row(ModelUse)) as cursor:
        return cursor.execute(
            """
            select day, person, model, requests, prompt_tokens, completion_tokens, estimated_tokens, cost::float as cost
            from public.list_model_use(%s)
            """,
            [days],
        ).fetchall()


def weigh(settings: Settings, rows: list[Spent]) -> list[Cap]:
    """The caps that are set, each with what is used of it, those nearest to their end first."""
    caps = [
        Cap(scope, what, row.tokens if what == "tokens" else row.cost, allowed, setting)
        for scope, what, setting, allowed in _caps(settings)
        for row in rows
        if allowed and row.scope == scope
    ]
    return sorted(caps, key=lambda cap: -cap.used / cap.allowed)


def price_of(settings: Settings, model: str) -> tuple[float, float] | None:
    """What a million tokens (read, written) of ``model`` cost; None where no price is named."""
    prices = settings.prices
    return prices.get(model, prices.get("*"))


def cost_of(settings: Settings, model: str, usage: Usage) -> float | None:
    """What ``usage`` cost in the money of CHAT_PRICES; None where that names no price."""
    price = price_of(settings, model)
    return None if price is None else (usage.prompt_tokens * price[0] + usage.completion_tokens * price[1]) / 1e6


def say_amount(cap: Cap) -> str:
    """``1,200 of 50,000 tokens`` or ``0.42 of 5.00 in money``."""
    if cap.what == "tokens":
        return f"{cap.used:,.0f} of {cap.allowed:,.0f} tokens"
    return f"{say_money(cap.used)} of {say_money(cap.allowed)} in money"


def say_money(amount: float) -> str:
    """Two digits after the point, or as many as small change needs."""
    return f"{amount:,.2f}" if amount >= 0.1 or not amount else f"{amount:.4f}"


def _caps(settings: Settings) -> Iterator[tuple[Scope, Literal["tokens", "money"], str, float]]:
    scopes: tuple[tuple[Scope, str], ...] = (
        ("conversation", "per_conversation"), ("person", "per_day"), ("everybody", "per_day_in_all"),
    )  # fmt: skip
    for scope, name in scopes:
        yield scope, "tokens", f"CHAT_TOKENS_{name}".upper(), getattr(settings, f"chat_tokens_{name}")
        yield scope, "money", f"CHAT_COST_{name}".upper(), getattr(settings, f"chat_cost_{name}")


def _money_is_capped(settings: Settings) -> bool:
    return any(allowed for _, what, _, allowed in _caps(settings) if what == "money")


_WHOSE: dict[Scope, str] = {
    "conversation": "This conversation has",
    "person": "Whoever asks here has today",
    "everybody": "Everybody together has today",
}


def _refusal(cap: Cap) -> LimitReached:
    way_out = (
        "Begin a new conversation" if cap.scope == "conversation" else "Ask again tomorrow (days end at midnight UTC)"
    )
    return LimitReached(
        f"{_WHOSE[cap.scope]} used {say_amount(cap)}, which is the most that the chat model may cost.",
        hint=f"{way_out}, or ask an administrator to raise {cap.setting}.",
    )
