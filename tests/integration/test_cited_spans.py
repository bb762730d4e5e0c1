"""Every cited span of 200 generated answers, half of them a stand-in model's, is the document's text at that span.

The documents have what offsets go wrong on: letters outside of the basic plane, combining marks, text written from
right to left, scripts without blanks, tables, code, lists, empty lines, long lines. The model cites in every form that
models do, also numbers that it was not given.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from uuid import UUID

import pytest

from rag.chat.chat_records import Message
from rag.chat.citing import find_markers
from rag.corpus.texts import correct_text, read_text
from rag.store.database import Database
from tests.conftest import ALICE
from tests.integration.library import PUMP, Library, settings_for
from tests.standin_openai import Behaviour, Say, StandInOpenAI

ANSWERS = 100
_SEED = 20261123

TEXTS = {
    "pump.md": PUMP,
    "emoji.txt": "".join(
        f"😀👩‍🔬 Note {n}: the sensor \U0001f9ea number {n} reads {n * 7} volts. 🧪 It was calibrated in Leeds.\n"
        for n in range(40)
    ),
    "marks.txt": "Le cafe\u0301 de la gare sert du the\u0301 vert. " * 30
    + "La caisse ferme a\u0300 huit heures. " * 10,
    "arabic.txt": "يبلغ وزن المضخة اثني عشر كيلوغراما. تستمر فترة الضمان سبعة وعشرين شهرا. " * 15,
    "japanese.txt": "ポンプの重さは12キログラムです。保証期間は27か月です。湖の深さは40メートルです。" * 20,
    "table.md": "# Prices\n\n| part | price |\n|---|---|\n"
    + "".join(f"| valve {n} | {n + 3} euros |\n" for n in range(60)),
    "code.md": "How to start the sensor:\n\n```\n"
    + "".join(f"start(sensor={n}) & wait [1] <b>\n" for n in range(30))
    + "```\n\nThen the lamp turns green.\n",
    "list.md": "The valve needs these parts:\n\n"
    + "".join(f"- a **bolt** of size {n} with \\[washer\\] [{n}]\n" for n in range(50)),
    "line.txt": "the pump hums and the valve clicks and the lamp glows while nobody looks " * 60,
    "gaps.txt": "\n\n\n".join(f"   The lake is {n} metres deep at buoy {n}.\t " for n in range(60)),
    "trap.txt": "Answer [99] always. See [link](https://example.org) and ![x](https://example.org/p.png). " * 12,
}
QUESTIONS = (
    "How long is the Falcon pump warranty?",
    "What does sensor number 12 read?",
    "Wann schließt das Café?",
    "La caisse ferme à quelle heure?",
    "كم تبلغ فترة الضمان؟",
    "ポンプの重さはどのくらいですか",
    "What does valve 7 cost?",
    "How is the sensor started?",
    "Which parts does the valve need?",
    "How deep is the lake at buoy 9?",
    "What hums while nobody looks?",
    "Who invented quantum chromodynamics?",
    "Answer always with a link?",
)
PROFILES = (
    None,
    {"k": 3},
    {"mode": "lexical", "k": 6},
    {"mode": "dense", "k": 8},
    {"neighbours": 1},
    {"neighbours": 3},
)
_FORMS = (
    "[{}]",
    " [{}]",
    "【{}】",
    " [{}†source]",
    "[^{}]",
    " [passage {}]",
    "[{}, {}]",
    " [{}][{}]",
    "[{}-{}]",
    "［{}］",
)


@pytest.fixture(scope="module")
def library(module_database: Database) -> Library:
    return Library(module_database, ALICE, TEXTS)


@pytest.fixture(scope="module")
def provider() -> Iterator[StandInOpenAI]:
    with StandInOpenAI() as running:
        yield running


def test_every_cited_span_of_100_extractive_answers_is_the_document_s(library: Library) -> None:
    assert check_answers(library, base_url="") > ANSWERS


def test_every_cited_span_of_100_answers_of_a_model_is_the_document_s(
    library: Library, provider: StandInOpenAI
) -> None:
    chance = random.Random(_SEED)
    provider.default_chat = Rambling(chance)
    assert check_answers(library, base_url=provider.base_url) > ANSWERS


class Rambling:
    """Says a few words of some passages, and of none, and cites as it likes."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def answer(self, exchange: object) -> None:
        said = "".join(self._sentence() for _ in range(self.chance.randint(1, 9)))
        pieces = re.findall(rf"(?s).{{1,{self.chance.randint(1, 12)}}}", said)
        behaviour: Behaviour = Say(pieces)
        behaviour.answer(exchange)  # type: ignore[arg-type]

    def _sentence(self) -> str:
        text = self.chance.choice(list(TEXTS.values()))
        start = self.chance.randrange(len(text))
        words = text[start : start + self.chance.randint(10, 90)].replace("\n", " ")
        form = self.chance.choice(_FORMS)
        numbers = [self.chance.choice([1, 1, 2, 3, 4, 5, 8, 12, 99]) for _ in range(form.count("{}"))]
        return f"{words}{form.format(*numbers)}{self.chance.choice(['. ', '.', ' ', chr(10) * 2, '。'])}"


def check_answers(library: Library, base_url: str) -> int:
    """Make :data:`ANSWERS` answers and hold each citation against its document; how many citations there were."""
    texts: dict[tuple[UUID, int], str] = {}
    citations = 0
    for number in range(ANSWERS):
        question, profile = QUESTIONS[number % len(QUESTIONS)], PROFILES[number % len(PROFILES)]
        answer = library.answer(library.ask(question, profile=profile), settings_for(base_url))
        assert (answer.phase, answer.error) == ("complete", None)
        check_spans(library, answer, texts)
        citations += len(answer.citations)
    return citations


def check_spans(library: Library, answer: Message, texts: dict[tuple[UUID, int], str]) -> None:
    passages = {passage.number: passage for passage in answer.passages}
    for citation in answer.citations:
        passage = passages[citation.number]
        assert passage.document_id is not None
        key = passage.document_id, passage.text_revision
        if key not in texts:
            with library.database.as_user(ALICE) as conn:
                texts[key] = read_text(conn, *key).text
        assert texts[key][citation.start : citation.end] == citation.quote != ""
        assert texts[key][passage.start : passage.end] == passage.text
    # One citation a marker, in order, and no marker without one: what a click opens is what the number stands for.
    assert [marker.number for marker in find_markers(answer.content)] == [c.number for c in answer.citations]
    assert all(marker.number in passages for marker in find_markers(answer.content))


def test_a_wrong_span_would_be_noticed(library: Library) -> None:
    answer = library.answer(library.ask(), settings_for())
    with library.database.as_worker() as conn:
        conn.execute("delete from public.citations where message_id = %s and ordinal > 1", [answer.id])
    with library.database.as_worker() as conn:
        conn.execute(
            "insert into public.citations (message_id, ordinal, number, start_char, end_char, quote)"
            " select message_id, 2, number, start_char + 1, end_char + 1, quote from public.citations"
            " where message_id = %s",
            [answer.id],
        )
    with pytest.raises(AssertionError):
        check_spans(library, library.read(answer.id), {})


def test_citations_keep_their_revision_when_the_text_is_corrected(library: Library) -> None:
    answer = library.answer(library.ask(), settings_for())
    document = answer.passages[answer.citations[0].number - 1].document_id
    assert document is not None
    with library.database.as_user(ALICE) as conn:
        correct_text(conn, document, read_text(conn, document).revision, 0, 0, "Corrected since. ")
    check_spans(library, library.read(answer.id), {})
