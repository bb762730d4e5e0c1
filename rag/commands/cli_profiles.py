"""`corpuscope profiles`: what a collection keeps, in versions, and which one is its default."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.commands.cli_output import Output, table
from rag.commands.cli_session import open_session
from rag.corpus.collections import find_collection
from rag.errors import InvalidInput
from rag.retrieval.profiles import RetrievalProfile
from rag.retrieval.stored_profiles import (
    StoredProfile,
    describe_changes,
    list_profiles,
    list_versions,
    load_profile,
    make_default,
    read_default,
    undo_default,
)
from rag.settings import Settings

#: What `--rerank` takes to switch reranking off.
NO_RERANKER = "none"


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """List profiles, or the versions of one; or make one the default, or take that back."""
    with open_session(settings, out, model=False) as session, session.as_user() as conn:
        collection = find_collection(conn, arguments.collection)
        if arguments.make_default or arguments.undo_default:
            _change_default(conn, collection.id, arguments, out)
        else:
            _list(conn, collection.id, arguments.name, out)
    return 0


def change_profile(profile: RetrievalProfile, arguments: Namespace) -> RetrievalProfile:
    """The profile with what the options of a search say otherwise."""
    changed = profile.with_changes(
        mode=arguments.mode, k=arguments.k, threshold=arguments.threshold, diversity=arguments.diversity
    )
    if arguments.rerank is None:
        return changed
    return replace(changed, rerank=None if arguments.rerank == NO_RERANKER else arguments.rerank)


def profile_as_json(stored: StoredProfile) -> dict[str, Any]:
    """The documented shape of one version."""
    return {
        "name": stored.name,
        "version": stored.version,
        "default": stored.is_default,
        "saved_at": stored.created_at.isoformat(),
        "settings": stored.profile.to_json(),
    }


def _list(conn: Connection[Any], collection_id: UUID, name: str | None, out: Output) -> None:
    if name is None:
        stored = list_profiles(conn, collection_id)
        default = read_default(conn, collection_id)
        stored += [default] if default is not None and default not in stored else []
    else:
        stored = list_versions(conn, collection_id, name)
        if not stored:
            load_profile(conn, collection_id, name)  # says which there are
    out.result({"profiles": [profile_as_json(one) for one in stored]}, _text(stored))


def _text(stored: Sequence[StoredProfile]) -> str:
    if not stored:
        return "No profile has been saved: the product's own settings are the default."
    rows = [
        (one.name, one.version, "default" if one.is_default else "", f"{one.created_at:%Y-%m-%d %H:%M}", _settings(one))
        for one in stored
    ]
    return table(rows, ("name", "version", "", "saved", "other than the product's own settings"))


def _settings(stored: StoredProfile) -> str:
    changes = describe_changes(RetrievalProfile(), stored.profile)
    return ", ".join(f"{change.setting} {change.after}" for change in changes) or "nothing"


def _change_default(conn: Connection[Any], collection_id: UUID, arguments: Namespace, out: Output) -> None:
    before = load_profile(conn, collection_id)
    if arguments.undo_default:
        now = undo_default(conn, collection_id)
    else:
        now = make_default(conn, _find(conn, collection_id, arguments.name, arguments.number).id)
    after = RetrievalProfile() if now is None else now.profile
    named = "The product's own settings are" if now is None else f"“{now.name}”, version {now.version}, is"
    changes = [change.words for change in describe_changes(before, after)]
    lines = [f"{named} the default now.", *(f"  {words}" for words in changes or ["Nothing changes by that"])]
    value = {"default": None if now is None else profile_as_json(now), "changes": changes}
    out.result(value, "\n".join(lines))


def _find(conn: Connection[Any], collection_id: UUID, name: str | None, version: int | None) -> StoredProfile:
    if name is None:
        raise InvalidInput("Say which profile becomes the default.", hint="`corpuscope profiles` lists them.")
    found = [stored for stored in list_versions(conn, collection_id, name) if version in (None, stored.version)]
    if not found:
        load_profile(conn, collection_id, name, version)  # says what there is
    return found[0]
