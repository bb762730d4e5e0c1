"""Language detection: short chunks, scripts without spaces, and the table that Postgres is configured by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.reading.languages import LANGUAGES, detect_language, language_name, text_search_configuration

CRANFIELD = Path(__file__).parents[2].parent / "shared" / "eval" / "cranfield" / "corpus.jsonl"

SENTENCES = {
    "ar": "يجب تزييت المضخة كل تسعين يوما. مدة الضمان سنتان من تاريخ التسليم.",
    "bg": "Помпата трябва да се смазва на всеки деветдесет дни.",
    "cs": "Čerpadlo je nutné mazat každých devadesát dní.",
    "de": "Die Pumpe muss alle neunzig Tage geölt werden.",
    "el": "Η αντλία πρέπει να λιπαίνεται κάθε ενενήντα ημέρες.",
    "en": "The pump must be oiled every 90 days.",
    "es": "La bomba debe engrasarse cada noventa días.",
    "fa": "پمپ باید هر نود روز یک بار روغن‌کاری شود و گارانتی دو سال است.",
    "fi": "Pumppu on öljyttävä yhdeksänkymmenen päivän välein.",
    "fr": "La pompe doit être huilée tous les quatre-vingt-dix jours.",
    "he": "יש לשמן את המשאבה כל תשעים יום.",
    "hi": "पंप को हर नब्बे दिन में तेल देना चाहिए।",
    "it": "La pompa deve essere oliata ogni novanta giorni.",
    "ja": "ポンプは九十日ごとに注油する必要があります。",
    "km": "ស្នប់ត្រូវតែដាក់ប្រេង",
    "ko": "펌프는 90일마다 기름칠해야 합니다.",
    "lo": "ປັ໊ມຕ້ອງໃສ່ນ້ຳມັນ",
    "my": "ပန့်ကို ရက်ကိုးဆယ်တိုင်း ဆီထည့်ရမည်။",
    "nl": "De pomp moet om de negentig dagen worden gesmeerd.",
    "pl": "Pompę należy smarować co dziewięćdziesiąt dni.",
    "pt": "A bomba deve ser lubrificada a cada noventa dias.",
    "ru": "Насос необходимо смазывать каждые девяносто дней.",
    "sr": "Пумпа мора да се подмазује сваких деведесет дана.",
    "sv": "Pumpen måste oljas var nittionde dag.",
    "th": "ปั๊มต้องหยอดน้ำมันทุกเก้าสิบวัน",
    "tr": "Pompa her doksan günde bir yağlanmalıdır.",
    "uk": "Насос необхідно змащувати кожні дев’яносто днів.",
    "vi": "Máy bơm phải được tra dầu chín mươi ngày một lần.",
    "zh": "水泵必须每九十天上一次油。保修期为二十七个月。",
}


@pytest.mark.parametrize(("code", "sentence"), SENTENCES.items(), ids=SENTENCES)
def test_one_sentence_is_enough(code: str, sentence: str) -> None:
    assert detect_language(sentence) == code


@pytest.mark.parametrize("text", ["", "   ", "12345 67,8 %", "| 1 | 2.5 |", "Hello", "wing", "https://example.org/a/b"])
def test_too_little_text_has_no_language(text: str) -> None:
    assert detect_language(text) is None


def test_chinese_with_latin_names_stays_chinese() -> None:
    assert detect_language("使用 TensorFlow 和 PyTorch 框架训练 BERT 模型的方法") == "zh"


def test_english_with_a_few_chinese_names_stays_english() -> None:
    assert detect_language("The company (公司) sells pumps in Shanghai (上海) and elsewhere in the region.") == "en"


def test_the_bulk_of_a_long_text_decides_not_its_beginning() -> None:
    assert detect_language(SENTENCES["en"] + "\n" + SENTENCES["de"] * 500) == "de"


def test_markup_and_addresses_are_no_words() -> None:
    table = "| a@b.example | https://example.org/the/of/and |\n| --- | --- |\n" * 50
    assert detect_language(table + SENTENCES["de"]) == "de"


def test_every_language_has_a_name_and_a_configuration() -> None:
    assert language_name("de") == "German"
    assert language_name(None) == "Unknown"
    assert text_search_configuration("zh") == "bigram"
    assert text_search_configuration("pl") == "simple"
    assert text_search_configuration(None) == "simple"
    assert all(len(code) == 2 and name and configuration for code, (name, configuration) in LANGUAGES.items())


@pytest.mark.skipif(not CRANFIELD.exists(), reason="the evaluation sets are not beside this checkout")
def test_scientific_abstracts_are_english() -> None:
    with CRANFIELD.open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]

    found = [detect_language(text) for text in texts[::5] if text.strip()]

    assert found.count("en") == len(found)
