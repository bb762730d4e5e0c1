"""Text in every common encoding comes out right or not at all; CSV and JSON become readable text."""

from __future__ import annotations

import codecs
import random

import pytest

from rag.errors import ParseError, ParseLimit
from rag.reading.datafiles import csv_text, json_text, jsonl_text
from rag.reading.tables import PART_CHARS, markdown_table
from rag.reading.textfiles import clean, decode

TEXTS = {
    "Die Gemeinde liegt südlich der Stadt; die Schüler müssen größere Straßen überqueren.": [
        "cp1252", "iso8859-15", "mac_roman", "cp850", "utf-8",
    ],
    "Quel est le plus grand des écrivains de mon règne? Là où même les élèves l’écoutent.": ["cp1252", "mac_roman"],
    "В этом году урожай пшеницы оказался значительно выше, чем ожидали специалисты.": [
        "cp1251", "koi8-r", "iso8859-5", "cp866", "mac_cyrillic",
    ],
    "Цього року врожай пшениці виявився значно вищим, ніж очікували фахівці. Її експорт зріс.": ["cp1251", "koi8-u"],
    "Η ελληνική γλώσσα είναι η μητρική γλώσσα δώδεκα εκατομμυρίων ανθρώπων.": ["cp1253", "iso8859-7"],
    "日本語の文章をここに書いてみます。カタカナも含みます。": ["shift_jis", "euc_jp", "iso2022_jp"],
    "本公司的产品在保修期内出现质量问题时，可以免费更换。": ["gb18030", "gbk"],
    "本公司的產品在保固期內出現品質問題時，可以免費更換。": ["big5"],
    "우리 회사의 제품은 보증 기간 내에 품질 문제가 발생하면 무료로 교환할 수 있습니다.": ["euc_kr", "cp949"],
    "Źródła prawa są zróżnicowane; każdy obywatel może żądać wyjaśnień.": ["cp1250", "iso8859-2"],
    "Příliš žluťoučký kůň úpěl ďábelské ódy. Město leží na řece.": ["cp1250", "iso8859-2"],
    "Şirketin ürünleri garanti süresi içinde arızalanırsa ücretsiz değiştirilir.": ["cp1254", "iso8859-9"],
    "החברה מחליפה מוצרים פגומים ללא תשלום בתקופת האחריות.": ["cp1255", "iso8859-8"],
    "تستبدل الشركة المنتجات المعيبة مجانا خلال فترة الضمان.": ["cp1256", "iso8859-6"],
    "บริษัทจะเปลี่ยนสินค้าที่ชำรุดให้ฟรีภายในระยะเวลารับประกัน": ["cp874", "tis_620"],
    "Lietuvos įmonė nemokamai pakeičia sugedusius gaminius; žmonės šį rytą ėjo į šventę.": ["cp1257", "iso8859-13"],
}  # fmt: skip
WIDE = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
CASES = [(text, encoding) for text, encodings in TEXTS.items() for encoding in [*encodings, *WIDE]]


@pytest.mark.parametrize(("text", "encoding"), CASES, ids=lambda value: value[:12])
def test_letters_come_out_right(text: str, encoding: str) -> None:
    data = f"{text}\n".encode(encoding, "ignore")

    assert decode(data)[0] == data.decode(encoding)


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_are_no_text(seed: int) -> None:
    with pytest.raises(ParseError, match=r"binary data|encoding"):
        decode(random.Random(seed).randbytes(3000))


@pytest.mark.parametrize("data", [b"\xff" * 500, b"\x00\x01\x02" * 300])
def test_filler_is_no_text(data: bytes) -> None:
    with pytest.raises(ParseError):
        decode(data)


def test_one_damaged_character_does_not_spoil_the_others() -> None:
    text, encoding = decode(("Überprüfung größerer Öfen. " * 50).encode() + b"\xfc Ende")

    assert encoding == "utf-8"
    assert text.startswith("Überprüfung")
    assert text.endswith("\ufffd Ende")


def test_a_declared_encoding_is_believed_when_it_reads_well() -> None:
    assert decode("naïve".encode("mac_roman"), "macintosh")[0] == "naïve"
    assert decode("größer".encode(), "windows-1251")[0] == "größer"
    assert decode("Привет, мир".encode("koi8-r"), "no-such-charset")[0] == "Привет, мир"


def test_clean_strips_what_postgres_and_readers_cannot_take() -> None:
    assert clean("\ufeffa\x00b\r\nc\rd\ud800\ufffee\x1bf\u2028g\tü") == "ab\nc\nde" + "f\ng\tü"


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_LE, codecs.BOM_UTF8])
def test_a_mark_before_binary_data_is_not_believed(mark: bytes) -> None:
    with pytest.raises(ParseError, match="starts as UTF"):
        decode(mark + bytes([0xD8, 0xD8, 0xFF, 0xFE, 0x80]) * 999)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_delimiter_is_found(delimiter: str) -> None:
    rows = ["name", "amount", "note"], ["Rowan, Ltd" if delimiter != "," else "Rowan", "1,5", "a;b|c\td"]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)

    assert "| name | amount | note |" in csv_text(text)
    assert "| 1,5 | a;b|c d |" in csv_text(text)


def test_a_long_table_says_its_header_again_for_every_part() -> None:
    table = markdown_table([["name", "colour"], *([f"thing number {row}", "green"] for row in range(100))])

    parts = table.split("\n\n")
    assert len(parts) > 3
    assert all(part.startswith("| name | colour |\n| --- | --- |\n") for part in parts)
    assert all(len(part) < PART_CHARS + 100 for part in parts)
    assert table.count("thing number") == 100


def test_title_rows_and_empty_columns_are_no_part_of_a_table() -> None:
    rows = [["Stanley Cups", "", ""], ["Team", "", "Cups"], ["Blues", "", "1"], ["", "", ""]]

    assert markdown_table(rows) == "Stanley Cups\n\n| Team | Cups |\n| --- | --- |\n| Blues | 1 |"
    assert markdown_table([["", ""], []]) == ""


def test_json_becomes_lines_with_paths() -> None:
    text = '{"name": "\\u00e9t\\u00e9", "size": {"kg": 1.50, "tags": ["a", "b"]}, "parts": [{"id": 7}, {"id": null}]}'

    assert json_text(text) == "name: été\nsize.kg: 1.50\nsize.tags: a, b\nparts[1].id: 7"


def test_records_are_paragraphs() -> None:
    assert json_text('[{"a": 1}, {"a": true}]') == "a: 1\n\na: true"
    assert jsonl_text('{"a": 1}\n\n{"a": "x"}\n') == "a: 1\n\na: x"


def test_what_is_no_json_stays_as_it_is() -> None:
    assert json_text('{"a": 1,') == '{"a": 1,'


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 900 + "1" + "}" * 900])
def test_json_nested_beyond_reason_is_refused(text: str) -> None:
    with pytest.raises(ParseLimit, match="nested too deeply"):
        json_text(text)
