"""`corpuscope chat-models`: the chat models that the server offers, and whether one can be used."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from rag.chat.connection_check import Verdict, check_connection, describe_server
from rag.chat.models_on_offer import read_offer
from rag.commands.cli_output import Output
from rag.settings import Settings


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """List the models, or ask one for a word. No database is needed."""
    return (_check if arguments.action == "check" else _list)(arguments, settings, out)


def _list(arguments: Namespace, settings: Settings, out: Output) -> int:
    out.say(f"Asking {describe_server(settings)}.")
    names = read_offer(settings)
    found = {"models": [{"name": name, "default": name == settings.chat_model} for name in names]}
    shown = [f"{name} (default)" if name == settings.chat_model else name for name in names]
    out.result(found, "\n".join(shown) or "The server lists no chat model.")
    return 0


def _check(arguments: Namespace, settings: Settings, out: Output) -> int:
    out.say(f"Asking {describe_server(settings)}.")
    verdict: Verdict = check_connection(settings, arguments.name)
    out.result(asdict(verdict), f"{verdict.words} {verdict.hint}".strip())
    return 0 if verdict.ok else 1
