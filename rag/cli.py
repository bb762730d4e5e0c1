"""The command `corpuscope`. Exit codes: 0 done, 1 the work failed, 2 wrong usage. docs/cli.md has the JSON shapes."""

from __future__ import annotations

import json
import logging
import signal
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from rag.commands.cli_output import Output
from rag.errors import CorpuscopeError, SettingsError
from rag.settings import Settings, load_settings

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

MODES = ("dense", "lexical", "hybrid")

_JSON_HELP = "print results as JSON"

Command = Callable[[Namespace, Settings, Output], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = make_parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    out = Output(json=arguments.json)
    try:
        settings = load_settings()
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        command: Command = arguments.run
        return command(arguments, settings, out)
    except KeyboardInterrupt:
        out.say("Stopped.")
        return INTERRUPTED
    except BrokenPipeError:
        return FAILED
    except CorpuscopeError as error:
        _report(error, out)
        return WRONG_USAGE if isinstance(error, SettingsError) else FAILED


def _interrupt(_number: int, _frame: object) -> None:
    """SIGTERM ends a command as Ctrl-C does, so that it cleans up; the launcher and the worker have their own way."""
    raise KeyboardInterrupt


def _report(error: CorpuscopeError, out: Output) -> None:
    out.say(f"{error} {error.hint}".strip())
    if out.json:
        print(json.dumps({"error": str(error), "hint": error.hint or None}, ensure_ascii=False), file=out.stdout)


def make_parser() -> ArgumentParser:
    """The whole command line."""
    parser = ArgumentParser(
        prog="corpuscope",
        description="Look inside your corpus. Without a command: start the database, the workers and the app.",
    )
    parser.add_argument("--json", action="store_true", help=_JSON_HELP)
    parser.add_argument("--version", action="version", version=f"corpuscope {version('corpuscope')}")
    parser.set_defaults(run=_launch)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, run: Command, text: str) -> ArgumentParser:
        command: ArgumentParser = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", default=SUPPRESS, help=_JSON_HELP)
        command.set_defaults(run=run)
        return command

    _add_ingest(add("ingest", _command("cli_ingest"), "Store files and folders in a collection."))
    _add_search(add("search", _command("cli_search"), "Search a collection."))
    _add_why(add("why", _command("cli_why"), "Say why a document or a phrase is not among the hits of a search."))
    _add_profiles(add("profiles", _command("cli_profiles"), "List retrieval profiles, or say which is the default."))
    _add_scopes(add("scopes", _command("cli_scopes"), "List saved selections of passages, or delete one."))
    _add_ask(
        add("ask", _command("cli_ask"), "Ask a question and read the answer as it is written, then its citations.")
    )
    _add_eval(
        add("eval", _command("cli_eval"), "Score retrieval on labelled questions, and compare with an earlier run.")
    )
    _add_indexes(add("indexes", _command("cli_indexes"), "List, estimate, build, swap or drop a collection's indexes."))
    _add_map(add("map", _command("cli_map"), "Make a map of a collection, list its maps, watch, cancel or delete one."))
    _add_trash(add("trash", _command("cli_trash"), "List deleted documents, restore some, or empty the trash."))
    _add_originals(
        add(
            "originals",
            _command("cli_originals"),
            "Say where the files of documents are, or move them to or from a bucket.",
        )
    )
    _add_models(add("models", _command("cli_models"), "List the embedding models, or register one more."))
    _add_chat_models(
        add("chat-models", _command("cli_chat_models"), "List the chat models that the server offers, or test one.")
    )
    add("status", _command("cli_status", "run_status"), "Say what runs and how far every collection is.")
    add("doctor", _command("cli_doctor"), "Check the database and the Supabase project, and say what to do.")
    add("worker", _command("cli_worker"), "Run a worker until Ctrl-C.")
    add("migrate", _command("cli_status", "run_migrate"), "Bring the database schema up to date.")
    add("users", _command("cli_users", "run_users"), "List who has an account.")
    _add_reset_password(
        add(
            "reset-password",
            _command("cli_users", "run_reset_password"),
            "Print a link with which somebody chooses a new password.",
        )
    )
    _add_bench(add("bench", _command("cli_bench"), "Measure against the raw parts."))
    return parser


def _add_ingest(parser: ArgumentParser) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="+", type=_existing, help="a file or a folder")
    parser.add_argument("--collection", metavar="NAME", required=True, help="made if it doesn't exist")
    parser.add_argument("--wait", action="store_true", help="wait until the files are searchable or have failed")
    parser.add_argument(
        "--replace", action="store_true", help="a file takes the place of one with its name; without it both are kept"
    )


def _add_search(parser: ArgumentParser) -> None:
    parser.add_argument("query", metavar="QUERY")
    parser.add_argument("--collection", metavar="NAME", required=True)
    parser.add_argument("-k", metavar="N", type=_positive, help="how many chunks; the profile's number without it")
    parser.add_argument("--threshold", metavar="T", type=_cosine, help="least cosine similarity, -1 to 1")
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument(
        "--diversity", metavar="D", type=_share, help="0 by relevance alone, to 1 for unlike each other"
    )
    _add_profile(parser)


def _add_profile(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--rerank", metavar="MODEL", help="a cross encoder: a name on the hub or a folder; none for none"
    )
    parser.add_argument("--profile", metavar="P", help="name of a saved retrieval profile")
    parser.add_argument("--scope", metavar="NAME", help="only in this saved selection of passages")


def _add_profiles(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="PROFILE", nargs="?", help="only this one, with all its versions")
    parser.add_argument("--collection", metavar="NAME", required=True)
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--make-default", action="store_true", help="make it what is used when nothing else is said")
    either.add_argument("--undo-default", action="store_true", help="go back to what was the default before")
    parser.add_argument("--number", metavar="N", type=_positive, help="of its versions this one; the newest without it")


def _add_scopes(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "delete"), nargs="?", default="list")
    parser.add_argument("name", metavar="NAME", nargs="?", help="which one goes")
    parser.add_argument("--collection", metavar="NAME", required=True)


def _add_why(parser: ArgumentParser) -> None:
    _add_search(parser)
    parser.add_argument("--document", metavar="NAME", help="which document is missing")
    parser.add_argument("--phrase", metavar="TEXT", help="which words are missing, of that document or of any")


def _add_ask(parser: ArgumentParser) -> None:
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument("--collection", metavar="NAME", required=True)
    parser.add_argument("-k", metavar="N", type=_positive, help="how many chunks to answer from")
    _add_profile(parser)


def _add_eval(parser: ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        type=_folder,
        help="holds corpus.jsonl, queries.jsonl, qrels.tsv and maybe spans.jsonl; is scored in a collection of its own",
    )
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("--limit-queries", metavar="N", type=_positive, help="only the first N")
    own = parser.add_argument_group("a collection's own questions, in place of DIR")
    own.add_argument("--set", metavar="NAME", help="a set of questions of the collection")
    own.add_argument("--collection", metavar="NAME")
    own.add_argument("--profile", metavar="P", help="name of a saved retrieval profile; the default without it")
    own.add_argument("--index", metavar="N", type=_positive, help="another index than the one that answers")
    own.add_argument("--baseline", metavar="RUN", type=_positive, help="compare with this earlier run of the set")
    own.add_argument("--fail-if-worse", action="store_true", help="exit 1 when nDCG@10 is significantly worse")
    parser.set_defaults(run=_choose_eval(parser))


def _choose_eval(parser: ArgumentParser) -> Command:
    """One of the two ways to evaluate; what doesn't go together is wrong usage."""

    def run(arguments: Namespace, settings: Settings, out: Output) -> int:
        if (arguments.folder is None) == (arguments.set is None):
            parser.error("name either a folder, or a set with --set")
        if arguments.set is None:
            if arguments.collection or arguments.profile or arguments.index or arguments.baseline:
                parser.error("--collection, --profile, --index and --baseline go with --set")
            return _command("cli_eval")(arguments, settings, out)
        if arguments.collection is None:
            parser.error("--set needs --collection")
        if arguments.mode or arguments.limit_queries:
            parser.error("--mode and --limit-queries go with a folder")
        if arguments.fail_if_worse and arguments.baseline is None:
            parser.error("--fail-if-worse needs --baseline")
        try:
            return _command("cli_gate")(arguments, settings, out)
        except CorpuscopeError as error:
            # 1 says that it got worse, and nothing else.
            _report(error, out)
            return WRONG_USAGE

    return run


def _add_indexes(parser: ArgumentParser) -> None:
    actions = ("list", "estimate", "build", "pause", "resume", "activate", "drop")
    parser.add_argument("action", choices=actions, nargs="?", default="list")
    parser.add_argument("index", metavar="INDEX", type=_positive, nargs="?", help="which one is changed")
    parser.add_argument("--collection", metavar="NAME", required=True)
    parser.add_argument("--model", metavar="MODEL", help="a registered model; the default one without it")
    parser.add_argument("--size", metavar="N", type=_positive, help="most tokens of a chunk's own text")
    parser.add_argument("--overlap", metavar="N", type=int, help="most tokens repeated of the chunk before")
    parser.add_argument("--no-context", action="store_true", help="leave title and headings out of what is embedded")
    parser.add_argument("--price", metavar="P", type=float, help="for a million tokens: estimate the cost too")
    parser.add_argument("--wait", action="store_true", help="wait until the index that is built is ready")


def _add_map(parser: ArgumentParser) -> None:
    actions = ("make", "list", "status", "cancel", "delete")
    parser.add_argument("action", choices=actions, nargs="?", default="list")
    parser.add_argument(
        "map", metavar="MAP", type=_positive, nargs="?", help="which one; for status the newest without it"
    )
    parser.add_argument("--collection", metavar="NAME", required=True)
    parser.add_argument("--index", metavar="N", type=_positive, help="of another index than the one that answers")
    parser.add_argument("--neighbours", metavar="N", type=_positive, help="neighbours that a chunk is laid out by: 15")
    parser.add_argument("--min-dist", metavar="D", type=_share, help="how close chunks may come on it: 0.1")
    parser.add_argument("--wait", action="store_true", help="wait until it is made or has failed")


def _add_trash(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "restore", "empty"), nargs="?", default="list")
    parser.add_argument("names", metavar="NAME", nargs="*", help="which to restore, by name or id; all without any")
    parser.add_argument("--collection", metavar="NAME", required=True)
    parser.add_argument("--yes", action="store_true", help="empty it: there is no way back")


def _add_originals(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("status", "move"), nargs="?", default="status")
    parser.add_argument("--to", choices=("supabase", "database"), help="where all of them go: SUPABASE_BUCKET, or back")
    parser.add_argument("--at-once", metavar="N", type=_positive, default=4, help="how many are moved side by side: 4")


def _add_models(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "add"), nargs="?", default="list")
    parser.add_argument("name", metavar="NAME", nargs="?", help="a name on the hub, a folder or a hosted model's name")
    parser.add_argument("--hosted", action="store_true", help="of the server that OPENAI_BASE_URL names")
    parser.add_argument("--dimensions", metavar="N", type=_positive, help="numbers of a hosted model's vector")
    parser.add_argument("--window", metavar="N", type=_positive, help="tokens that a hosted model reads")


def _add_chat_models(parser: ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "check"), nargs="?", default="list")
    parser.add_argument("name", metavar="NAME", nargs="?", help="which one is tested; CHAT_MODEL without it")


def _add_reset_password(parser: ArgumentParser) -> None:
    parser.add_argument("email", metavar="EMAIL", help="whose password it is")


def _add_bench(parser: ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these; all without a name")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the rows there as JSON too")


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise ArgumentTypeError(f"there is no file or folder {text}")
    return path


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise ArgumentTypeError(f"there is no folder {text}")
    return path


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def _cosine(text: str) -> float:
    return _number(text, -1)


def _share(text: str) -> float:
    return _number(text, 0)


def _number(text: str, least: int) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text} is not a number") from None
    if not least <= value <= 1:
        raise ArgumentTypeError(f"{text} is not between {least} and 1")
    return value


def _command(module: str, function: str = "run") -> Command:
    """A command whose module is imported when it runs: a worker starts without the launcher, and so on."""

    def run(arguments: Namespace, settings: Settings, out: Output) -> int:
        command: Command = getattr(import_module(f"rag.commands.{module}"), function)
        return command(arguments, settings, out)

    return run


def _launch(arguments: Namespace, settings: Settings, out: Output) -> int:
    from rag.commands.launcher import launch

    return launch(settings, as_json=out.json)


if __name__ == "__main__":
    sys.exit(main())
