"""How this installation hears of changes, and whether its workers broadcast them: LIVE_UPDATES and what can be."""

from __future__ import annotations

from typing import Literal

from rag.chat.hints import HintSource, NoHints, PostgresHints
from rag.settings import Settings
from rag.store.database import Database

Way = Literal["listen", "broadcast", "poll"]


def chosen_way(settings: Settings, database: Database) -> Way:
    """How pages hear of changes. ``auto`` prefers LISTEN, which has no quota and is there as long as the database."""
    if settings.live_updates != "auto":
        return settings.live_updates
    if database.can_listen:
        return "listen"
    return "broadcast" if has_project(settings) else "poll"


def is_broadcasting(settings: Settings) -> bool:
    """Whether workers broadcast: to those who hear no other way, and to who isn't in the app at all."""
    return settings.live_updates == "broadcast" or (settings.live_updates == "auto" and has_project(settings))


def has_project(settings: Settings) -> bool:
    """Whether the database is a Supabase project's, as far as settings tell, and its keys are there."""
    return bool(not settings.embedded and settings.supabase_url and settings.supabase_secret_key.get_secret_value())


def hint_source(settings: Settings, database: Database) -> HintSource:
    """What a process that shows pages listens to."""
    way = chosen_way(settings, database)
    if way == "broadcast":
        from rag.chat.broadcast_hints import BroadcastHints

        return BroadcastHints(settings.supabase_url, settings.supabase_secret_key.get_secret_value())
    return PostgresHints(database) if way == "listen" else NoHints()
