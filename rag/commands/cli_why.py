"""`corpuscope why`: the chain from a document or phrase to the results of a search, and where it broke."""

from __future__ import annotations

from argparse import Namespace
from typing import Any
from uuid import UUID

from psycopg import Connection

from rag.commands.cli_output import Output
from rag.commands.cli_profiles import change_profile
from rag.commands.cli_scopes import named_scope
from rag.commands.cli_session import open_session
from rag.corpus.collections import find_collection
from rag.corpus.documents import list_documents
from rag.corpus.indexes import read_searched_index
from rag.errors import NotFound
from rag.retrieval.stored_profiles import load_profile
from rag.retrieval.trace_words import as_json, as_text
from rag.retrieval.tracing import explain
from rag.settings import Settings


def run(arguments: Namespace, settings: Settings, out: Output) -> int:
    """Print the chain; that something was lost is an answer, no failure."""
    with open_session(settings, out, model=False) as session:
        with session.as_user() as conn:
            collection = find_collection(conn, arguments.collection)
            index = read_searched_index(conn, collection.id)
            profile = load_profile(conn, collection.id, arguments.profile)
            scope = named_scope(conn, collection.id, arguments.scope)
            document = find_document(conn, collection.id, arguments.document) if arguments.document else None
        profile = change_profile(profile, arguments)
        lexical = profile.mode == "lexical" and profile.threshold is None
        vector = None if lexical else session.load_question_encoder(index.model).embed_question(arguments.query)
        explanation = explain(
            session.as_user,
            collection.id,
            arguments.query,
            vector,
            profile,
            document_id=document,
            phrase=arguments.phrase,
            index_id=index.id,
            scope=scope,
        )
    out.result(as_json(explanation), as_text(explanation))
    return 0


def find_document(conn: Connection[Any], collection_id: UUID, name: str) -> UUID:
    """The document of that name, whatever its case, or the only one that has it in its name."""
    found = list_documents(conn, collection_id, name_part=name)
    exact = [document for document in found if document.name.casefold() == name.strip().casefold()]
    if len(exact or found) != 1:
        known = ", ".join(document.name for document in found[:5])
        hint = f"It could be: {known}." if found else "`corpuscope status` says what collections hold."
        raise NotFound(f"There is no single document named “{name}” in this collection.", hint=hint)
    return (exact or found)[0].id
