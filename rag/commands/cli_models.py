"""`corpuscope models`: the embedding models that indexes can be built with."""

from __future__ import annotations

from argparse import Namespace

from rag.commands.cli_output import Output, table
from rag.commands.cli_session import open_session
from rag.corpus.embedding_models import KnownModel, Provider, add_model, describe_candidate, list_models
from rag.errors import InvalidInput
from rag.settings import Settings


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print the registered models, or register one."""
    return (_add if arguments.action == "add" else _list)(arguments, settings, out)


def _list(arguments: Namespace, settings: Settings, out: Output) -> int:
    with open_session(settings, out) as session, session.as_user() as conn:
        found = list_models(conn)
    _print(found, out)
    return 0


def _add(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Of a name on the hub, its files are fetched."""
    if arguments.name is None:
        raise InvalidInput("Which model?", hint="A name on the Hugging Face hub, a folder, or a hosted model's name.")
    provider: Provider = "openai" if arguments.hosted else "local"
    info = describe_candidate(settings, provider, arguments.name, arguments.dimensions or 0, arguments.window or 0)
    with open_session(settings, out) as session:
        with session.database.as_worker() as conn:
            made = add_model(conn, info, as_worker=True)
        with session.as_user() as conn:
            found = [model for model in list_models(conn) if model.id == made]
    _print(found, out)
    return 0


def _print(found: list[KnownModel], out: Output) -> None:
    rows = [
        (model.name, model.provider, model.dimensions, model.window, "default" if model.is_default else "")
        for model in found
    ]
    fields = [
        {
            "name": model.name,
            "provider": model.provider,
            "dimensions": model.dimensions,
            "window": model.window,
            "default": model.is_default,
            "chars_per_s": model.chars_per_s,
        }
        for model in found
    ]
    out.result({"models": fields}, table(rows, ("model", "provider", "dimensions", "window", "")))
