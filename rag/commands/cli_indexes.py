"""`corpuscope indexes`: estimate, build, pause, swap and drop the indexes of a collection."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from rag.chunks.chunking import ChunkSettings
from rag.commands.cli_output import Output, table
from rag.commands.cli_session import Session, open_session
from rag.corpus.collections import find_collection
from rag.corpus.embedding_models import KnownModel, list_models
from rag.corpus.index_estimates import Amount, estimate_index, read_sample, share_known
from rag.corpus.indexes import (
    IndexRow,
    activate_index,
    build_index,
    get_index,
    list_indexes,
    pause_index,
    resume_index,
    retire_index,
)
from rag.corpus.progress import RateMeter, describe_duration, read_worker_status
from rag.errors import InvalidInput, NotFound
from rag.settings import Settings
from rag.vectors.embedders import load_tokens
from rag.vectors.models import settings_for

#: What changes one index, and what is said of it then.
_DEEDS = {"pause": pause_index, "resume": resume_index, "activate": activate_index, "drop": retire_index}
_DONE = {"pause": "is paused", "resume": "goes on", "activate": "answers now", "drop": "is dropped"}


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """What the first argument says."""
    if arguments.action in _DEEDS:
        return _change(arguments, settings, out)
    return {"list": _list, "estimate": _estimate, "build": _build}[arguments.action](arguments, settings, out)


def _list(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print the collection's indexes."""
    with open_session(settings, out) as session, session.as_user() as conn:
        found = list_indexes(conn, find_collection(conn, arguments.collection).id)
    header = ("index", "state", "model", "size", "overlap", "documents", "chunks", "embedded", "failed")
    rows = [
        (
            index.id,
            _state(index),
            index.model_row.label,
            index.chunking.get("max_tokens", ChunkSettings().max_tokens),
            index.chunking.get("overlap", ChunkSettings().overlap),
            index.documents,
            index.chunks,
            index.embedded,
            index.failed,
        )
        for index in found
    ]
    problems = [
        f"Index {index.id}: {index.problem} {index.problem_hint or ''}".strip() for index in found if index.problem
    ]
    out.result({"indexes": [_fields(index) for index in found]}, "\n".join([table(rows, header), *problems]))
    return 0


def _estimate(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print what an index would come to; nothing is built."""
    with open_session(settings, out) as session:
        with session.as_user() as conn:
            collection = find_collection(conn, arguments.collection).id
            model = _find_model(list_models(conn), arguments.model)
            sample = read_sample(conn, collection)
            workers = read_worker_status(conn).alive
        tokens = load_tokens(settings_for(settings, model.row))
        found = estimate_index(sample, _chunking(arguments), tokens)
        with session.as_user() as conn:
            known = share_known(conn, found, model.id)
    seconds = found.seconds(model.chars_per_s, max(workers, 1))
    cost = found.cost(arguments.price) if arguments.price is not None else None
    lines = [
        f"{found.documents} documents, {'all' if found.exact else found.sampled} read",
        f"{_range(found.chunks)} chunks, {_range(found.tokens)} tokens",
        f"time: about {describe_duration(seconds.value)}" if seconds else "time: no rate measured yet",
    ]
    if cost is not None:
        lines.append(f"cost: {cost.value:,.2f} ({cost.low:,.2f} to {cost.high:,.2f})")
    if known:
        lines.append(f"{known:.0%} of the chunks have a vector already, which costs nothing")
    result = {
        "documents": found.documents,
        "exact": found.exact,
        "chunks": _amount(found.chunks),
        "tokens": _amount(found.tokens),
        "seconds": _amount(seconds),
        "cost": _amount(cost),
        "known_share": round(known, 3),
    }
    out.result(result, "\n".join(lines))
    return 0


def _build(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Begin to build an index; with --wait, until it is ready."""
    with open_session(settings, out) as session:
        with session.as_user() as conn:
            collection = find_collection(conn, arguments.collection).id
            model = _find_model(list_models(conn), arguments.model)
            made = build_index(conn, collection, _chunking(arguments).to_json(), model.id)
        out.say(f"Index {made} is being built.")
        if arguments.wait:
            _wait(session, out, collection, made)
        with session.as_user() as conn:
            index = get_index(conn, collection, made)
    out.result(_fields(index), f"{made}")
    return 0 if not arguments.wait or index.state == "ready" else 1


def _wait(session: Session, out: Output, collection: Any, made: int) -> None:
    meter = RateMeter()

    def finished() -> bool:
        with session.as_user() as conn:
            index = get_index(conn, collection, made)
            at = read_worker_status(conn).last_seen
        if index.problem:
            out.show(index.problem)
        else:
            if at is not None:
                meter.feed(at.timestamp(), index.embedded)
            chunked = f"chunked {index.documents:,} of {index.expected:,} documents"
            left = meter.eta(index.remaining or 0)
            soon = f"; about {describe_duration(left)} left" if left else ""
            out.show(f"Embedded {index.embedded:,} of {index.chunks:,} chunks; {chunked}{soon}")
        return index.state != "building" or index.paused

    session.wait(finished)


def _change(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Pause, resume, activate or drop one index."""
    if arguments.index is None:
        raise InvalidInput("Which index?", hint="See: corpuscope indexes list --collection NAME")
    with open_session(settings, out) as session, session.as_user() as conn:
        collection = find_collection(conn, arguments.collection).id
        get_index(conn, collection, arguments.index)
        _DEEDS[arguments.action](conn, arguments.index)
        index = get_index(conn, collection, arguments.index)
    out.result(_fields(index), f"Index {index.id} {_DONE[arguments.action]}.")
    return 0


def _chunking(arguments: Namespace) -> ChunkSettings:
    defaults = ChunkSettings()
    return ChunkSettings(
        defaults.max_tokens if arguments.size is None else arguments.size,
        defaults.overlap if arguments.overlap is None else arguments.overlap,
        not arguments.no_context,
    )


def _find_model(models: list[KnownModel], name: str | None) -> KnownModel:
    found = [model for model in models if (model.is_default if name is None else name in (model.name, model.row.label))]
    if not found:
        raise NotFound(f"No model {name!r} is registered.", hint="Register it: corpuscope models add NAME")
    if len(found) > 1:
        raise InvalidInput(f"Several models are called {name!r}.", hint="Give the whole name.")
    return found[0]


def _state(index: IndexRow) -> str:
    return "paused" if index.paused else "dropped" if index.state == "retired" else index.state


def _fields(index: IndexRow) -> dict[str, object]:
    return {
        "index": index.id,
        "state": _state(index),
        "model": index.model_row.label,
        "chunking": index.chunking,
        "documents": index.documents,
        "documents_expected": index.expected,
        "chunks": index.chunks,
        "embedded": index.embedded,
        "failed": index.failed,
        "complete": index.complete,
        "problem": index.problem,
    }


def _range(amount: Amount) -> str:
    if amount.high <= amount.low:
        return f"{amount.value:,.0f}"
    return f"about {amount.value:,.0f} ({amount.low:,.0f} to {amount.high:,.0f})"


def _amount(amount: Amount | None) -> dict[str, float] | None:
    if amount is None:
        return None
    return {"value": round(amount.value, 2), "low": round(amount.low, 2), "high": round(amount.high, 2)}
