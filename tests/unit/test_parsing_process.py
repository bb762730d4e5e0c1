"""The child process: limits, crashes, cancelling, and files made to break readers. Everything ends, in words."""

from __future__ import annotations

import io
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from rag.errors import Cancelled, NoText, ParseError, ParseLimit, PasswordNeeded
from rag.reading.parsing import ParsedText, ParseLimits, Parser, parse_file

LIMITS = ParseLimits(file_bytes=2**26, unpacked_bytes=2**24, seconds=30, memory_bytes=500 * 2**20)
ENTITIES = '<!DOCTYPE lolz [<!ENTITY l0 "lol">' + "".join(
    f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' for level in range(1, 10)
)
BOMB = ENTITIES + "]>"
EXTERNAL = '<!DOCTYPE x [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>'
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    with Parser(LIMITS) as one:
        yield one


def saved(folder: Path, content: bytes | str) -> Path:
    path = folder / "upload"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def packed(parts: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def word(body: str, doctype: str = "") -> bytes:
    document = f'<?xml version="1.0"?>{doctype}<w:document {WORD}><w:body>{body}</w:body></w:document>'
    return packed({"[Content_Types].xml": "<Types/>", "word/document.xml": document})


def pdf(*objects: bytes) -> bytes:
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    return out + end % (len(objects) + 1, table, len(objects) + 1, len(out))


def page_pdf(content: bytes, filters: bytes = b"") -> bytes:
    return pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R>>",
        b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), filters, content),
    )


def outcome(parser: Parser, path: Path, name: str) -> ParsedText | ParseError:
    try:
        return parser.parse(path, name)
    except ParseError as error:
        return error


def test_a_child_reads_many_files(parser: Parser, tmp_path: Path) -> None:
    path = saved(tmp_path, "amber falcon")

    parser.parse(path, "a.txt")
    before = psutil.Process().children()
    assert [parser.parse(path, f"{number}.txt").text for number in range(20)] == ["amber falcon"] * 20
    assert psutil.Process().children() == before


@pytest.fixture
def fresh() -> Iterator[Parser]:
    with Parser(LIMITS) as one:
        yield one


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def test_the_child_has_no_secrets_and_no_heavy_modules(fresh: Parser, tmp_path: Path) -> None:
    before = children()
    fresh.parse(saved(tmp_path, "x1"), "a.txt")
    (child,) = children() - before

    assert set(child.environ()) & {"OPENAI_API_KEY", "DATABASE_URL", "PATH", "HTTPS_PROXY"} == set()
    assert not [mapped.path for mapped in child.memory_maps() if "torch" in mapped.path or "openvino" in mapped.path]
    assert child.cwd() != os.getcwd()


def test_closing_ends_the_child_and_removes_its_folder(tmp_path: Path) -> None:
    before = children()
    with Parser(LIMITS) as one:
        one.parse(saved(tmp_path, "x1"), "a.txt")
        (child,) = children() - before
        folder = Path(child.cwd())
    assert not child.is_running()
    assert not folder.exists()


def test_time_runs_out_and_the_next_file_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, "word")
    before = children()
    with Parser(ParseLimits(seconds=0.001)) as one:
        with pytest.raises(ParseLimit, match="seconds"):
            one.parse(path, "a.txt")
        assert children() == before
    assert parse_file(path, "a.txt", limits=LIMITS).text == "word"


def test_memory_runs_out(tmp_path: Path) -> None:
    with pytest.raises(ParseLimit, match="memory"):
        parse_file(saved(tmp_path, "word"), "a.txt", limits=ParseLimits(memory_bytes=2**20))


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(ParseLimit, match="at most"):
        parse_file(saved(tmp_path, "x" * 3000), "a.txt", limits=ParseLimits(file_bytes=2000))


def test_cancelling_ends_the_child(fresh: Parser, tmp_path: Path) -> None:
    before = children()
    with pytest.raises(Cancelled):
        fresh.parse(saved(tmp_path, "word"), "a.txt", cancelled=lambda: True)
    assert children() == before


@pytest.mark.parametrize(("how", "error"), [(signal.SIGSEGV, ParseError), (signal.SIGKILL, ParseLimit)])
def test_a_crash_is_an_error_in_words(fresh: Parser, tmp_path: Path, how: signal.Signals, error: type) -> None:
    before = children()

    def crash() -> bool:
        for child in children() - before:
            child.send_signal(how)
        return False

    path = saved(tmp_path, "word")
    with pytest.raises(error, match=r"crash|memory"):
        fresh.parse(path, "a.txt", cancelled=crash)
    assert fresh.parse(path, "a.txt").text == "word"


def test_a_child_that_died_between_files_is_replaced(fresh: Parser, tmp_path: Path) -> None:
    path = saved(tmp_path, "word")
    before = children()
    fresh.parse(path, "a.txt")
    (child,) = children() - before
    child.kill()
    child.wait()

    assert fresh.parse(path, "a.txt").text == "word"


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys, psutil; from rag.reading.parsing import Parser; p = Parser();"
        "p.parse(pathlib.Path(sys.argv[1]), 'a.txt');"
        "c = psutil.Process().children()[0]; print(c.pid, c.cwd(), flush=True); os._exit(0)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(saved(tmp_path, "word"))],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )

    deadline = time.monotonic() + 20
    while psutil.pid_exists(int(done.stdout.split()[0])) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(done.stdout.split()[0]))
    assert not Path(done.stdout.split()[1]).exists()


def test_a_bomb_is_refused_whatever_its_directory_says(parser: Parser, tmp_path: Path) -> None:
    data = bytearray(word("<w:p/>" + "y" * 60_000_000))
    for place in (place for place in range(len(data)) if data[place : place + 4] == b"PK\x01\x02"):
        data[place + 24 : place + 28] = struct.pack("<I", 1000)

    error = outcome(parser, saved(tmp_path, bytes(data)), "bomb.docx")

    assert isinstance(error, ParseLimit)
    assert "unpacks to more than" in str(error)


def test_too_many_parts_are_refused(parser: Parser, tmp_path: Path) -> None:
    data = packed({"word/document.xml": "<x/>"} | {f"word/{number}": "" for number in range(20_001)})

    assert isinstance(outcome(parser, saved(tmp_path, data), "a.docx"), ParseLimit)


def test_a_packed_archive_inside_is_left_alone(parser: Parser, tmp_path: Path) -> None:
    inner = packed({"zeros": b"0" * 10_000_000})
    data = word("<w:p><w:r><w:t>holder</w:t></w:r></w:p>")
    with zipfile.ZipFile(file := io.BytesIO(data), "a") as archive:
        archive.writestr("word/embeddings/inner.zip", inner)

    assert parser.parse(saved(tmp_path, file.getvalue()), "a.docx").text == "holder"


def test_an_encrypted_archive_asks_for_its_password(parser: Parser, tmp_path: Path) -> None:
    data = bytearray(word("<w:p/>"))
    for mark, flags in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = data.find(mark)
        while place >= 0:
            data[place + flags] |= 1
            place = data.find(mark, place + 4)

    assert isinstance(outcome(parser, saved(tmp_path, bytes(data)), "a.docx"), PasswordNeeded)


@pytest.mark.parametrize("doctype", [BOMB, EXTERNAL], ids=["laughs", "external"])
@pytest.mark.parametrize("name", ["a.docx", "a.html", "a.xml", "a.svg"])
def test_entities_are_not_expanded(parser: Parser, tmp_path: Path, doctype: str, name: str) -> None:
    body = "<w:p><w:r><w:t>before &l9;</w:t></w:r></w:p>"
    data = word(body, doctype) if name == "a.docx" else f"{doctype}<html><body>before &l9;</body></html>".encode()

    result = outcome(parser, saved(tmp_path, data), name)

    assert "root:" not in str(result)
    assert len(str(result)) < 3000


BROKEN_PDFS = {
    "endless tree": pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 1000000>>"),
    "no pages": pdf(b"<</Type/Catalog>>"),
    "half": page_pdf(b"BT /F1 12 Tf 10 100 Td (half) Tj ET")[:150],
    "header only": b"%PDF-1.7\n",
    "garbage": b"%PDF-1.7\n" + random.Random(1).randbytes(4000),
}


@pytest.mark.parametrize("data", BROKEN_PDFS.values(), ids=BROKEN_PDFS)
def test_a_broken_pdf_is_an_error_in_words(parser: Parser, tmp_path: Path, data: bytes) -> None:
    error = outcome(parser, saved(tmp_path, data), "a.pdf")

    assert isinstance(error, ParseError)
    assert "PDF" in str(error)


def test_a_pdf_without_its_font_is_read(parser: Parser, tmp_path: Path) -> None:
    data = page_pdf(b"BT /F1 12 Tf 10 100 Td (No such font here) Tj ET")

    assert parser.parse(saved(tmp_path, data), "a.pdf").text == "No such font here"


def test_a_filled_form_field_is_text(parser: Parser, tmp_path: Path) -> None:
    look = b"BT /F1 12 Tf 2 2 Td (typed by hand) Tj ET"
    data = pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Annots[4 0 R]>>",
        b"<</Type/Annot/Subtype/Widget/Rect[10 10 300 30]/F 4/AP<</N 5 0 R>>>>",
        b"<</Type/XObject/Subtype/Form/BBox[0 0 290 20]/Length %d>>stream\n%s\nendstream" % (len(look), look),
    )

    assert parser.parse(saved(tmp_path, data), "form.pdf").text == "typed by hand"


def test_a_pdf_that_unpacks_to_much_ends(parser: Parser, tmp_path: Path) -> None:
    content = zlib.compress(b"BT /F1 12 Tf 10 100 Td (hello) Tj ET" + b" " * 50_000_000, 9)

    result = outcome(parser, saved(tmp_path, page_pdf(content, b"/Filter/FlateDecode")), "a.pdf")

    assert isinstance(result, ParseLimit) or (isinstance(result, ParsedText) and result.text == "hello")


def test_side_by_side_lines_become_columns(parser: Parser, tmp_path: Path) -> None:
    rows = b"".join(
        b"1 0 0 1 50 %d Tm (Left line %d of some prose about pumps) Tj "
        b"1 0 0 1 330 %d Tm (Right line %d of other prose on wings) Tj " % (700 - 14 * row, row, 700 - 14 * row, row)
        for row in range(12)
    )
    text = parser.parse(saved(tmp_path, page_pdf(b"BT /F1 10 Tf " + rows + b"ET")), "a.pdf").text

    assert text.index("Left line 11") < text.index("Right line 0")


def test_side_by_side_numbers_stay_a_table(parser: Parser, tmp_path: Path) -> None:
    rows = b"".join(
        b"1 0 0 1 50 %d Tm (Valve number %d) Tj 1 0 0 1 330 %d Tm (%d.50 EUR) Tj "
        % (700 - 14 * row, row, 700 - 14 * row, row)
        for row in range(12)
    )
    text = parser.parse(saved(tmp_path, page_pdf(b"BT /F1 10 Tf " + rows + b"ET")), "a.pdf").text

    assert "Valve number 3 3.50 EUR" in text


DEEP = {
    "a.html": "<div>" * 100_000 + "x",
    "b.html": "<table>" * 500 + "<tr><td>x",
    "c.html": "<" * 300_000,
    "d.html": "<!DOCTYPE " + "[" * 100_000,
    "a.rtf": "{\\rtf1 " + "{" * 100_000 + "x" + "}" * 100_000 + "}",
    "a.json": "[" * 100_000,
    "a.eml": "Subject: x\n"
    + "".join(f'Content-Type: multipart/mixed; boundary="b{level}"\n\n--b{level}\n' for level in range(2000)),
    "b.eml": "Subject: " + "=?utf-8?B?w6k=?= " * 50_000 + "\n\nbody",
    "a.csv": '"' + "x," * 500_000,
    "a.md": "word " * 1_000_000,
    "a.txt": "x" * 5_000_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_absurd_nesting_and_length_end(parser: Parser, tmp_path: Path, name: str) -> None:
    result = outcome(parser, saved(tmp_path, DEEP[name]), name)

    assert isinstance(result, ParsedText | ParseError)
    assert "seconds" not in str(result)[:200]


@pytest.mark.parametrize(
    "extension", ["docx", "pptx", "xlsx", "odt", "ods", "odp", "epub", "doc", "xls", "ppt", "msg", "pdf"]
)
@pytest.mark.parametrize(
    "content", [b" \n", b"\x00\x01binary\xff", b"PK\x03\x04half", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1half"]
)
def test_what_is_no_document_is_said_so(parser: Parser, tmp_path: Path, extension: str, content: bytes) -> None:
    error = outcome(parser, saved(tmp_path, content), f"a.{extension}")

    assert isinstance(error, ParseError)
    assert not isinstance(error, NoText)
    assert str(error).endswith(".")


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_word_file_never_breaks_the_reader(parser: Parser, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(word("<w:p><w:r><w:t>words</w:t></w:r></w:p>" * 50))
    for _ in range(5):
        data[chance.randrange(len(data))] = chance.randrange(256)

    result = outcome(parser, saved(tmp_path, bytes(data)), "a.docx")

    assert isinstance(result, ParseError) or "words" in result.text
