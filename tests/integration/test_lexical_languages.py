"""Questions in many languages and scripts find their text by its words."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID, uuid4

import pytest

from rag.corpus.collections import create_collection
from rag.store.database import Database
from tests.integration.searchable import add_document, index_chunks
from tests.integration.test_lexical import ask, candidates


class Sample(NamedTuple):
    language: str
    text: str
    other: str
    question: str


SAMPLES = [
    Sample(
        "de", "Die Häuser am Fluss wurden 1890 gebaut.", "Der Hund schläft im Garten.", "Wann wurde das Haus gebaut?"
    ),
    Sample("ru", "Книги хранятся в старой библиотеке.", "Собака спит в саду.", "Где хранится книга?"),
    Sample("ar", "تُوجَدُ الكُتُبُ في المكتبة القديمة", "الكلب ينام في الحديقة", "كتب المكتبة"),
    Sample(
        "fr", "L'histoire des chevaux sauvages d'Amérique.", "Le chien dort au jardin.", "un cheval sauvage d’amérique"
    ),
    Sample("tr", "Kitaplar eski kütüphanede saklanıyor.", "Köpek bahçede uyuyor.", "kitap nerede"),
    Sample("hi", "किताबें पुराने पुस्तकालय में रखी हैं।", "कुत्ता बगीचे में सो रहा है।", "किताब कहाँ"),
    Sample("el", "Τα βιβλία φυλάσσονται στη βιβλιοθήκη.", "Ο σκύλος κοιμάται στον κήπο.", "Πού είναι η βιβλιοθήκη;"),
    Sample("zh", "这些书保存在旧图书馆里。", "狗在花园里睡觉。", "图书馆在哪里"),
    Sample("ja", "古い図書館には本が保管されています。", "犬は庭で寝ています。", "図書館はどこですか"),
    Sample("ko", "오래된 도서관에 책이 보관되어 있습니다.", "개가 정원에서 자고 있습니다.", "도서관은 어디에 있나요"),
    Sample("th", "หนังสือเก็บไว้ในห้องสมุดเก่า", "สุนัขนอนหลับอยู่ในสวน", "ห้องสมุดอยู่ที่ไหน"),
    Sample("km", "សៀវភៅត្រូវបានរក្សាទុកនៅក្នុងបណ្ណាល័យ", "ឆ្កែកំពុងដេក", "បណ្ណាល័យនៅឯណា"),
    Sample("he", "הַסְּפָרִים נמצאים בספרייה הישנה", "הכלב ישן בגינה", "הספרים"),
    Sample("fa", "کتاب‌ها در کتابخانه نگهداری می‌شوند", "سگ در باغ می‌خوابد", "کتابخانه"),
    Sample("xx", "Quaerit liber antiquus", "canis dormit", "LIBER"),
]


@pytest.fixture
def database(module_database: Database) -> Database:
    """Shared by these tests: each has a collection of its own."""
    return module_database


@pytest.fixture
def corpus(database: Database, alice: UUID) -> UUID:
    with database.as_worker() as conn:
        conn.execute("select corpuscope.register_model('local', 'tiny', 4, 64, '', '')")
    with database.as_user(alice) as conn:
        return create_collection(conn, str(uuid4()))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.language)
def test_a_question_finds_its_text(database: Database, corpus: UUID, alice: UUID, sample: Sample) -> None:
    _, ids = add_document(database, corpus, [sample.other, sample.text], language=sample.language)
    assert ask(database, alice, corpus, sample.question)[:1] == [ids[1]]


def test_all_languages_in_one_collection(database: Database, corpus: UUID, alice: UUID) -> None:
    expected = {}
    for number, sample in enumerate(SAMPLES):
        _, ids = add_document(
            database, corpus, [sample.other, sample.text], name=f"{number}.txt", language=sample.language
        )
        expected[sample.language] = ids[1]
    found = {sample.language: ask(database, alice, corpus, sample.question)[:1] for sample in SAMPLES}
    assert found == {language: [chunk] for language, chunk in expected.items()}


def test_stop_words_of_the_collections_language_stay_cheap_beside_another(
    database: Database, corpus: UUID, alice: UUID
) -> None:
    """Under "simple" the words "what", "is" and "the" are rare here; they must not outweigh the word that matters."""
    english = [f"The flow number {n} over the plate." for n in range(200)] + ["What the turbulence does."]
    _, ids = add_document(database, corpus, english)
    add_document(database, corpus, ["What is the what is the"], name="b.txt", language=None)
    with database.as_user(alice) as conn:
        rows = candidates(conn, corpus, "What is the turbulence?")
    assert rows[0][0] == ids[-1]
    assert rows[0][1] > 5 * rows[1][1]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("the lift/drag ratio", "drag"),
        ("a state-of-the-art method", "art"),
        ("see http://www.example.com/manual?page=3", "manual"),
        ("write to jane.doe@example.com", "jane"),
        ("call foo_bar(x)", "bar"),
        ("a<b and c>d", "b"),
        ("chapter 3.14", "14"),
        ("temperature of -40 degrees", "40"),
        ("ﬁre ﬂow", "fire"),
        ("ＦＵＬＬ ｗｉｄｔｈ", "full"),
        ("ｶﾀｶﾅ", "カタカナ"),
        ("混合text文字", "text"),
        ("混合text文字", "文字"),
        ("小猫。", "小猫"),
        ("猫。", "猫"),
        ("小猫喜欢鱼", "猫吃鱼"),
        ("co\u00adoperate", "cooperate"),
    ],
)
def test_words_are_found_whatever_stands_beside_them(
    database: Database, corpus: UUID, alice: UUID, text: str, question: str
) -> None:
    _, ids = add_document(database, corpus, ["nothing of it here", text], language=None)
    assert ask(database, alice, corpus, question) == [ids[1]]


@pytest.mark.parametrize(
    "text", ["… !?", "x" * 5000, "\U0001f600\U0001f680", "A" * 3000 + " wing " * 3000, "的" * 9000]
)
def test_odd_texts_can_be_indexed(database: Database, corpus: UUID, text: str) -> None:
    _, ids = add_document(database, corpus, [text], index=False)
    assert index_chunks(database, ids) == 1
    assert index_chunks(database, ids) == 0


@pytest.mark.parametrize("question", ["…", "the", "unheard", "x" * 9000, "a:* & !b | 'c", "的"])
def test_a_question_without_known_words_finds_nothing(
    database: Database, corpus: UUID, alice: UUID, question: str
) -> None:
    add_document(database, corpus, ["Cats and dogs play in the garden."])
    assert ask(database, alice, corpus, question) == []
