"""Answers a question: retrieve as the asker, keep what was retrieved, write, cite. Runs in a worker, under a lease."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import lru_cache
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from rag.chat import answer_rows
from rag.chat.answer_rows import Superseded
from rag.chat.answer_rows import fail_answer as fail_answer
from rag.chat.answer_writer import AnswerWriter, Stopped
from rag.chat.chat_records import Citation, Phase
from rag.chat.chats import read_scope_note
from rag.chat.citing import AnswerFilter, find_markers
from rag.chat.extractive import Quote, Source, choose_quotes, find_support, write_answer
from rag.chat.grounding import Found, Ground, find_passages, read_ground, sentence_embedder
from rag.chat.llm import ChatModel
from rag.chat.patience import Patience
from rag.chat.prompts import Turn, build_prompt
from rag.errors import CorpuscopeError, DatabaseUnavailable, ProviderBusy, ProviderError
from rag.retrieval.scopes import describe_size
from rag.retrieval.search import MAX_QUESTION
from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.embedders import Embedder
from rag.vectors.models import ModelRow
from rag.work.leases import LeaseLost

#: Nobody reads further: a model that doesn't stop is stopped here.
MAX_ANSWER_CHARS = 40_000
#: Interruptions of one answer before it is given up on.
MAX_RESTARTS = 4

_TOO_LONG = f"\n\n*Stopped here: the answer grew beyond {MAX_ANSWER_CHARS:,} characters.*"

log = logging.getLogger(__name__)

#: The embedder of an index's model.
EmbedderFor = Callable[[ModelRow], Embedder]


def answer_message(
    database: Database,
    embedder: Embedder,
    settings: Settings,
    message_id: UUID,
    *,
    still_ours: Callable[[], bool],
    embedder_for: EmbedderFor | None = None,
) -> None:
    """Write the answer ``message_id``; nothing to do when it is final already.

    ``embedder`` is that of the settings' model; with ``embedder_for``, that of the searched index's model takes its
    place.

    ``still_ours`` tells whether the job's lease still holds. When it doesn't, this raises :class:`LeaseLost` without
    another write: the job comes back, and whoever gets it starts again. Failures end in the message, in words; raised
    are else only :class:`DatabaseUnavailable`, since then nothing can be written, and bugs, once they are written down.
    """
    with database.as_worker() as conn:
        attempt = answer_rows.begin_attempt(conn, message_id)
    if attempt is None:
        return
    writer = AnswerWriter(database, attempt, still_ours)
    answer = _Answer(database, embedder, settings, writer, embedder_for)
    try:
        answer.make()
    except Superseded:
        log.info("An answer was ended, deleted or taken over by somebody else.")
    except Stopped:
        answer.end("stopped", "Stopped, as you asked.")
    except (DatabaseUnavailable, LeaseLost):
        raise
    except CorpuscopeError as error:
        answer.end("failed", str(error), error.hint)
    except Exception:
        answer.end("failed", "This answer failed unexpectedly.", "Try again; the log has the details.")
        raise


class _Answer:
    """One attempt at one answer, phase by phase."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        settings: Settings,
        writer: AnswerWriter,
        embedder_for: EmbedderFor | None,
    ) -> None:
        self.database = database
        self.embedder = embedder
        self.embedder_for = embedder_for
        self.settings = settings
        self.writer = writer
        self.attempt = writer.attempt
        self.scope = read_scope_note(writer.attempt.scope)
        self.patience = Patience(writer)
        self.sources: dict[int, Source] = {}
        #: Earlier turns, for a model to go on from; extractive answers stand for themselves.
        self.history: list[tuple[str, str]] = []
        self._retrieved = ""
        #: What an extractive answer has quoted so far; a model's quotes are found in its text.
        self.quotes: list[Quote] | None = None

    def make(self) -> None:
        if len(self.attempt.restarts) > MAX_RESTARTS:
            raise CorpuscopeError(
                f"This answer was interrupted {len(self.attempt.restarts)} times.",
                hint="Check that the worker stays up, then try again.",
            )
        ground, vector = self._analyze()
        found = self._retrieve(ground, vector)
        if self.settings.chat_model and found:
            self._generate(found)
        else:
            self._extract(ground, vector)

    def end(self, phase: Phase, detail: str, hint: str = "") -> None:
        """Give the answer its final phase, with what was written of it."""
        error = (detail, hint) if phase == "failed" else (None, None)
        try:
            self.writer.end(phase, detail, self._citations(), error=error[0], hint=error[1])
        except Superseded:
            log.info("An answer was ended by somebody else.")

    def _analyze(self) -> tuple[Ground, NDArray[np.float32]]:
        self.writer.enter("analyzing", "Reading the question.")
        with self.database.as_user(self.attempt.asker) as conn:
            ground = read_ground(
                conn,
                self.attempt.collection_id,
                self.attempt.profile,
                self.scope.id if self.scope else None,
            )
        if self.embedder_for is not None:
            self.embedder = self.embedder_for(ground.index.model)
        ground.check(self.embedder.info)
        if self.settings.chat_model:
            with self.database.as_worker() as conn:
                self.history = answer_rows.read_history(conn, self.attempt)
        return ground, self._embed(self.attempt.question)

    def _embed(self, question: str) -> NDArray[np.float32]:
        while True:
            try:
                return self.embedder.embed_question(question)
            except ProviderBusy as busy:
                self.patience.sit_out(busy)

    def _retrieve(self, ground: Ground, vector: NDArray[np.float32]) -> list[Found]:
        self.writer.enter(
            "retrieving",
            f"Searching for {_count(ground.profile.k, 'passage')}{self._where}.",
            before=f"Embedded the question with {self.embedder.info.name}.",
        )
        found = self._search(ground, self.attempt.question, vector)
        manner: str = ground.profile.mode if ground.profile.rerank is None else f"{ground.profile.mode}, reranked"
        if self.history and not ground.is_close(found):
            # "And how heavy is it?" finds nothing by itself.
            question = f"{self.history[-1][0]}\n{self.attempt.question}"[-MAX_QUESTION:]
            found = self._search(ground, question, self._embed(question))
            manner += ", together with the question before"
        self.writer.keep_passages([one.passage for one in found])
        self.sources = {one.passage.number: one.source for one in found}
        documents = len({one.passage.document_id for one in found})
        self._retrieved = (
            f"Found {_count(len(found), 'passage')} in {_count(documents, 'document')}{self._where} ({manner})."
        )
        return found

    @property
    def _where(self) -> str:
        if self.scope is None:
            return ""
        return f", only among {describe_size(self.scope.passages, self.scope.documents)}"

    def _search(self, ground: Ground, question: str, vector: NDArray[np.float32]) -> list[Found]:
        return find_passages(
            lambda: self.database.as_user(self.attempt.asker),
            ground,
            question,
            None if ground.profile.mode == "lexical" else vector,
        )

    def _extract(self, ground: Ground, vector: NDArray[np.float32]) -> None:
        self.quotes = []
        self.writer.enter("generating", "Choosing sentences.", before=self._retrieved, kind="extractive")
        choice = choose_quotes(
            self.attempt.question,
            vector,
            list(self.sources.values()),
            sentence_embedder(self.embedder),
            ground.random_mean,
        )
        for text, quote in write_answer(choice, "collection" if self.scope is None else "selection"):
            self.quotes += [quote] if quote else []
            self.writer.write(text)
        chosen = f"Chose {_count(len(choice.quotes), 'quote')} from {_count(choice.considered, 'sentence')}."
        self.writer.end("complete", "Quoted from the documents.", self._citations(), before=chosen)

    def _generate(self, found: Sequence[Found]) -> None:
        prompt = build_prompt(
            self.attempt.question,
            [one.passage for one in found],
            self.history,
            self.settings.chat_context_tokens,
            wider={one.passage.number: one.wider for one in found},
        )
        self.sources |= {one.passage.number: one.wider_source for one in found if one.passage.number in prompt.widened}
        model = self.settings.chat_model
        asking = f"Asking {model} with {_count(len(prompt.numbers), 'passage')}."
        self.writer.enter("generating", asking, before=self._retrieved, kind="model", model=model)
        self._write_stream(prompt.turns, AnswerFilter(prompt.numbers))
        if not self.writer.text.strip():
            raise ProviderError("The chat model gave an empty answer.", hint="Try again, or choose another CHAT_MODEL.")
        written = f"{model} wrote {len(self.writer.text):,} characters from {_count(len(prompt.numbers), 'passage')}."
        self.writer.end("complete", "Written from the passages.", self._citations(), before=written)

    def _write_stream(self, turns: Sequence[Turn], answer: AnswerFilter) -> None:
        try:
            with closing(self._listen(turns)) as pieces:
                for piece in pieces:
                    self.writer.write(answer.feed(piece[:MAX_ANSWER_CHARS]))
                    if len(self.writer.text) > MAX_ANSWER_CHARS:
                        self.writer.add(answer.finish() + _TOO_LONG)
                        return
        except (ProviderError, Stopped):
            self.writer.add(answer.finish())
            raise
        self.writer.add(answer.finish())

    def _listen(self, turns: Sequence[Turn]) -> Generator[str, None, None]:
        """The model's words; a model that is busy before its first word is asked again."""
        model = _chat_model(self.settings)
        while True:
            try:
                yield from model.stream(turns)
            except ProviderBusy as busy:
                if self.writer.text:
                    raise
                self.patience.sit_out(busy)
                self.writer.note(f"Asking {model.name} again.")
            else:
                return

    def _citations(self) -> list[Citation]:
        """One for each marker of the text, in order."""
        quotes = self.quotes
        if quotes is None:
            markers = [marker for marker in find_markers(self.writer.text) if marker.number in self.sources]
            quotes = [find_support(marker.claim, self.sources[marker.number]) for marker in markers]
        return [Citation(n, quote.number, quote.start, quote.end, quote.text) for n, quote in enumerate(quotes, 1)]


@lru_cache(maxsize=1)
def _chat_model(settings: Settings) -> ChatModel:
    """Kept between answers: connecting anew would delay each first word."""
    return ChatModel(
        settings.chat_model,
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url,
        silence_s=settings.chat_timeout_s,
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
