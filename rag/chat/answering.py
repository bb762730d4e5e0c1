"""Answers a question: understand it, retrieve as the asker, write, cite, check. Runs in a worker, under a lease."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from rag.chat import answer_rows, spending
from rag.chat.answer_rows import Superseded
from rag.chat.answer_rows import fail_answer as fail_answer
from rag.chat.answer_writer import AnswerWriter, Stopped
from rag.chat.chat_records import Citation, Phase
from rag.chat.citing import find_markers
from rag.chat.dictation import Dictation
from rag.chat.extractive import Quote, Source, find_support, write_answer
from rag.chat.llm import chat_model
from rag.chat.prompts import build_prompt
from rag.chat.research import EmbedderFor, Findings, Research, count
from rag.chat.snapshots import Snapshot
from rag.chat.support import check_support
from rag.chat.support_rows import store_support
from rag.chat.unanswered import rests_on_nothing, write_nearest
from rag.errors import CorpuscopeError, DatabaseUnavailable, ProviderError
from rag.settings import Settings
from rag.store.database import Database
from rag.vectors.embedders import Embedder
from rag.work.leases import LeaseLost

#: Interruptions of one answer before it is given up on.
MAX_RESTARTS = 4

log = logging.getLogger(__name__)


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

    ``embedder`` is that of the settings' model; with ``embedder_for``, that of each searched index's model takes its
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
    answer = _Answer(database, settings, writer, Research(database, writer, embedder, embedder_for))
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

    def __init__(self, database: Database, settings: Settings, writer: AnswerWriter, research: Research) -> None:
        self.database = database
        self.settings = settings
        self.writer = writer
        self.attempt = writer.attempt
        self.research = research
        self.sources: dict[int, Source] = {}
        self.snapshot: Snapshot | None = None
        #: The chat model and what it said; None for extractive answers.
        self.dictation: Dictation | None = None
        #: What was quoted word for word; None while that is to be found in the text.
        self.quotes: list[Quote] | None = None

    def make(self) -> None:
        if len(self.attempt.restarts) > MAX_RESTARTS:
            raise CorpuscopeError(
                f"This answer was interrupted {len(self.attempt.restarts)} times.",
                hint="Check that the worker stays up, then try again.",
            )
        self.writer.enter("analyzing", "Reading the question.")
        self.research.read()
        if self.settings.chat_model:
            self.dictation = self._take_dictation()
        findings = self._retrieve(self.research.understand(self.dictation))
        if self.dictation is not None and findings.harvest.found:
            self._generate(self.dictation, findings)
        else:
            self._extract(findings)
        self._check_support()

    def end(self, phase: Phase, detail: str, hint: str = "", *, before: str | None = None) -> None:
        """Give the answer its final phase, with what was written of it."""
        error = (detail, hint) if phase == "failed" else (None, None)
        if before is None and self.dictation is not None and self.dictation.written.completion_tokens:
            before = f"{self.dictation.model.name} wrote {self.dictation.describe()} until then."
        self._settle()
        try:
            self.writer.end(
                phase, detail, self._citations(), before=before, error=error[0], hint=error[1], snapshot=self.snapshot
            )
        except Superseded:
            log.info("An answer was ended by somebody else.")

    def _take_dictation(self) -> Dictation:
        """The model that was chosen, where its cost may be borne. Raises :class:`LimitReached`."""
        asker = self.attempt.asker
        assert asker is not None
        model = chat_model(self.settings, self.attempt.wanted_model)
        with self.database.as_worker() as conn:
            spending.check(conn, self.settings, self.attempt.chat_id, asker, model.name)
        return Dictation(model, self.writer)

    def _retrieve(self, understood: str) -> Findings:
        """Find passages and keep them with the answer."""
        research = self.research
        wanted = count(research.grounds[0].profile.k, "passage")
        self.writer.enter(
            "retrieving", f"Searching for {wanted}{research.where}.", before=understood, standalone=research.rewritten
        )
        findings = research.search()
        found = findings.harvest.found
        self.writer.keep_passages([one.passage for one in found])
        self.sources = {one.passage.number: one.source for one in found}
        self.snapshot = research.snapshot(findings)
        return findings

    def _extract(self, findings: Findings) -> None:
        self.quotes = []
        before = f"{findings.described}, kept all."
        self.writer.enter("generating", "Choosing sentences.", before=before, kind="extractive")
        choice = self.research.choose(list(self.sources.values()))
        for text, quote in write_answer(choice, self.research.searched):
            self.quotes += [quote] if quote else []
            self.writer.write(text)
        chosen = f"Chose {count(len(choice.quotes), 'quote')} from {count(choice.considered, 'sentence')}."
        self.end("complete", "Quoted from the documents.", before=chosen)

    def _generate(self, dictation: Dictation, findings: Findings) -> None:
        found, window = findings.harvest.found, self.settings.chat_context_tokens
        prompt = build_prompt(
            self.attempt.question,
            [one.passage for one in found],
            self.research.history,
            window,
            wider={one.passage.number: one.wider for one in found},
            standalone=self.research.rewritten,
        )
        self.sources |= {one.passage.number: one.wider_source for one in found if one.passage.number in prompt.widened}
        self._leave_out([one.passage.number for one in found if one.passage.number not in prompt.numbers])
        name, read = dictation.model.name, count(len(prompt.numbers), "passage")
        kept = f"kept {len(prompt.numbers)}: the others don't fit the model's window of {window:,} tokens"
        self.writer.enter(
            "generating",
            f"Asking {name} with {read}.",
            before=f"{findings.described}, {kept if len(prompt.numbers) < len(found) else 'kept all'}.",
            kind="model",
            model=name,
        )
        dictation.take(prompt.turns, prompt.numbers)
        if not self.writer.text.strip():
            raise ProviderError("The chat model gave an empty answer.", hint="Try again, or choose another model.")
        written = f"{name} wrote {dictation.describe()} from {read}."
        if rests_on_nothing(self.writer.text):
            self._add_nearest()
        self.end("complete", "Written from the passages.", before=written)

    def _leave_out(self, numbers: list[int]) -> None:
        """These don't fit into what the model reads: nothing of it can rest on them."""
        assert self.snapshot is not None
        self.snapshot = replace(self.snapshot, kept=len(self.sources) - len(numbers), left_out=numbers)
        self.sources = {number: source for number, source in self.sources.items() if number not in numbers}

    def _add_nearest(self) -> None:
        """What the passages say that comes closest, where the model's answer rests on none."""
        self.quotes = []
        for text, quote in write_nearest(self.research.choose(list(self.sources.values()))):
            self.quotes += [quote] if quote else []
            self.writer.write(text)
        assert self.snapshot is not None
        self.snapshot = replace(self.snapshot, cites_nothing=True)

    def _settle(self) -> None:
        """Count what the model cost before the next question may begin, and keep it with the answer."""
        asker, dictation = self.attempt.asker, self.dictation
        if asker is None or dictation is None or dictation.settled or not dictation.used.total:
            return
        dictation.settled = True
        with self.database.as_worker() as conn:
            spending.record(conn, self.settings, self.attempt.chat_id, asker, dictation.model.name, dictation.used)
        if self.snapshot is not None and dictation.written.total:
            self.snapshot = dictation.complete(self.snapshot)

    def _check_support(self) -> None:
        """Mark what no cited passage says. The answer is complete by now: what goes wrong here is only logged."""
        if self.dictation is None:
            return  # quoted from end to end
        try:
            marks = check_support(
                self.writer.text,
                list(self.sources.values()),
                self.research.embed_sentences,
                self.research.grounds[0].random_mean,
                question=self.research.question,
            )
            with self.database.as_worker() as conn:
                store_support(conn, self.attempt.message_id, self.attempt.number, marks)
        except Exception:
            log.exception("The support of an answer could not be checked.")

    def _citations(self) -> list[Citation]:
        """One for each marker of the text, in order."""
        quotes = self.quotes
        if quotes is None:
            markers = [marker for marker in find_markers(self.writer.text) if marker.number in self.sources]
            quotes = [find_support(marker.claim, self.sources[marker.number]) for marker in markers]
        return [Citation(n, quote.number, quote.start, quote.end, quote.text) for n, quote in enumerate(quotes, 1)]
