"""`corpuscope search`: ranked chunks."""

from __future__ import annotations

import textwrap
from argparse import Namespace
from typing import Any

from rag.commands.cli_output import Output
from rag.commands.cli_profiles import change_profile
from rag.commands.cli_scopes import named_scope
from rag.commands.cli_session import open_session
from rag.corpus.collections import find_collection
from rag.corpus.indexes import read_searched_index
from rag.records import Hit
from rag.retrieval.retrieving import retrieve
from rag.retrieval.stored_profiles import load_profile
from rag.settings import Settings


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print the hits; finding nothing is no failure."""
    with open_session(settings, out, model=False) as session:
        with session.as_user() as conn:
            collection = find_collection(conn, arguments.collection)
            index = read_searched_index(conn, collection.id)
            profile = load_profile(conn, collection.id, arguments.profile)
            scope = named_scope(conn, collection.id, arguments.scope)
        profile = change_profile(profile, arguments)
        lexical = profile.mode == "lexical" and profile.threshold is None
        vector = None if lexical else session.load_question_encoder(index.model).embed_question(arguments.query)
        hits = retrieve(
            session.as_user, collection.id, arguments.query, vector, profile, index_id=index.id, scope=scope
        )
    out.result({"hits": [hit_as_json(hit) for hit in hits]}, "\n\n".join(map(_text, hits)) or "Nothing was found.")
    return 0


def hit_as_json(hit: Hit) -> dict[str, Any]:
    """The documented shape of a hit; ``start`` and ``end`` are characters of the document's text, end exclusive."""
    return {
        "rank": hit.rank,
        "document": hit.document,
        "title": hit.title,
        "page": hit.page,
        "start": hit.start,
        "end": hit.end,
        "text": hit.text,
        "similarity": hit.similarity,
        "lexical": hit.lexical,
        "score": hit.score,
        "fused_rank": hit.fused_rank,
        "rerank_score": hit.rerank_score,
    }


def _text(hit: Hit) -> str:
    scores = {
        "rerank score": hit.rerank_score,
        "score": hit.score,
        "similarity": hit.similarity,
        "lexical": hit.lexical,
    }
    shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items() if value is not None)
    page = f", page {hit.page}" if hit.page is not None else ""
    excerpt = textwrap.shorten(hit.text, 400, placeholder=" …")
    return f"{hit.rank}. {hit.document}{page}  ({shown})\n" + textwrap.indent(textwrap.fill(excerpt, 100), "   ")
