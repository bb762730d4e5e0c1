"""Each format's structure survives: headings, tables, order, pages; markup and hidden machinery do not."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path

import pytest

from rag.errors import NoText, UnsupportedType
from rag.reading.parsed import ParsedText
from rag.reading.readers import read_document

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
A = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
P = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
ODF = "urn:oasis:names:tc:opendocument:xmlns:"
UNPACKED = 2**24


def read(folder: Path, content: bytes | str, name: str) -> ParsedText:
    path = folder / "upload"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_document(path, name, UNPACKED)


def packed(parts: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def docx(body: str) -> bytes:
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    styles = "application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"
    return packed(
        {
            "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{main}"/>'
            f'<Override PartName="/word/styles.xml" ContentType="{styles}"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{RELS}"><Relationship Id="r1" Type="{OFFICE}/officeDocument" '
            'Target="word/document.xml"/></Relationships>',
            "word/_rels/document.xml.rels": f'<Relationships xmlns="{RELS}"><Relationship Id="r1" '
            f'Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>',
            "word/styles.xml": f'<w:styles {W}><w:style w:type="paragraph" w:styleId="Heading2">'
            '<w:name w:val="heading 2"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style></w:styles>',
            "word/document.xml": f'<?xml version="1.0"?><w:document {W}><w:body>{body}</w:body></w:document>',
        }
    )


def paragraph(runs: str, style: str = "") -> str:
    mark = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{mark}{runs}</w:p>"


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def test_word_keeps_headings_and_drops_markup(tmp_path: Path) -> None:
    body = paragraph(run("Oil *and* grease"), "Heading2") + paragraph(
        run("Use ") + run("only", "<w:b/>") + run(" 2 * 3 litres of snake_oil [a](b) # now")
        + '<w:del w:id="1" w:author="x"><w:r><w:delText>DELETED</w:delText></w:r></w:del>'
    )  # fmt: skip

    text = read(tmp_path, docx(body), "a.docx").text

    assert text == "## Oil *and* grease\n\nUse only 2 * 3 litres of snake_oil [a](b) # now"


def test_word_tables_are_rows_without_markup(tmp_path: Path) -> None:
    cells = [[run("Part", "<w:b/>"), run("Mass")], [run("bo", "<w:b/>") + run("ld"), run("12* kg")]]
    rows = "".join("<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>" for row in cells)

    text = read(tmp_path, docx(f"<w:tbl>{rows}</w:tbl>"), "a.docx").text

    assert text == "| Part | Mass |\n| --- | --- |\n| bold | 12* kg |"


def slide(title: str, body: str) -> str:
    shapes = "".join(
        f'<p:sp><p:nvSpPr><p:cNvPr id="1" name="x"/><p:cNvSpPr/><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        f"<p:txBody><a:p><a:r><a:rPr b='1'/><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
        for kind, text in (("body", body), ("title", title), ("sldNum", "99"))
    )
    return f"<p:sld {A} {P}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"


def test_slides_come_in_the_order_they_are_shown_with_notes(tmp_path: Path) -> None:
    def rels(*targets: tuple[str, str]) -> str:
        links = "".join(
            f'<Relationship Id="r{number}" Type="{OFFICE}/{kind}" Target="{target}"/>'
            for number, (kind, target) in enumerate(targets, 1)
        )
        return f'<Relationships xmlns="{RELS}">{links}</Relationships>'

    ids = "".join(f'<p:sldId id="{256 + number}" r:id="r{number}"/>' for number in (2, 1))
    data = packed(
        {
            "_rels/.rels": rels(("officeDocument", "ppt/presentation.xml")),
            "ppt/presentation.xml": f"<p:presentation {P} {R}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
            "ppt/_rels/presentation.xml.rels": rels(("slide", "slides/slide1.xml"), ("slide", "slides/slide2.xml")),
            "ppt/slides/slide1.xml": slide("Shown last", "bold words"),
            "ppt/slides/slide2.xml": slide("Shown first", "other words"),
            "ppt/slides/_rels/slide2.xml.rels": rels(("notesSlide", "../notesSlides/notesSlide1.xml")),
            "ppt/notesSlides/notesSlide1.xml": slide("ignored", "What to say")
            .replace("p:sld ", "p:notes ")
            .replace("/p:sld>", "/p:notes>"),
        }
    )

    parsed = read(tmp_path, data, "a.pptx")

    assert parsed.text == ("## Shown first\n\nother words\n\nNotes: What to say\n\n## Shown last\n\nbold words")
    assert [parsed.text[start : start + 8] for start in parsed.page_starts] == ["## Shown", "## Shown"]
    assert parsed.page_starts[1] == parsed.text.index("## Shown last")
    assert parsed.title == "Shown first"


def odf(kind: str, body: str) -> bytes:
    names = " ".join(
        f'xmlns:{name}="{ODF}{rest}:1.0"'
        for name, rest in (
            ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"),
            ("presentation", "presentation"),
        )
    )  # fmt: skip
    return packed(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "META-INF/manifest.xml": "<manifest/>",
            "content.xml": f"<office:document-content {names}><office:body><office:{kind}>{body}</office:{kind}>"
            "</office:body></office:document-content>",
        }
    )


def test_opendocument_text(tmp_path: Path) -> None:
    body = (
        "<text:tracked-changes><text:p>DELETED</text:p></text:tracked-changes>"
        '<text:h text:outline-level="2">Care</text:h><text:p>Two<text:s text:c="2"/>spaces <text:span>and</text:span>'
        " more<office:annotation><text:p>COMMENT</text:p></office:annotation></text:p>"
        "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>"
    )

    assert read(tmp_path, odf("text", body), "a.odt").text == "## Care\n\nTwo  spaces and more\n\n- item"


def test_opendocument_sheets_are_named_tables(tmp_path: Path) -> None:
    row = "<table:table-row><table:table-cell><text:p>{}</text:p></table:table-cell><table:table-cell><text:p>{}"
    row += '</text:p></table:table-cell></table:table-row><table:table-row table:number-rows-repeated="1048576"/>'
    sheet = (
        '<table:table table:name="Stock">' + row.format("Part", "Count") + row.format("Valve", "7") + "</table:table>"
    )

    text = read(tmp_path, odf("spreadsheet", sheet), "a.ods").text

    assert text == "## Stock\n\n| Part | Count |\n| --- | --- |\n| Valve | 7 |"


def test_opendocument_slides_are_pages(tmp_path: Path) -> None:
    page = "<draw:page><draw:frame><draw:text-box><text:p>Slide {}</text:p></draw:text-box></draw:frame></draw:page>"
    pages = page.format(1) + page.format(2)

    parsed = read(tmp_path, odf("presentation", pages), "a.odp")

    assert parsed.text == "Slide 1\n\nSlide 2"
    assert parsed.page_starts == [0, 9]


def test_a_book_follows_its_spine(tmp_path: Path) -> None:
    items = "".join(f'<item id="c{n}" href="ch%20{n}.xhtml" media-type="application/xhtml+xml"/>' for n in (1, 2))
    data = packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/c.opf"/></rootfiles></container>',
            "OEBPS/c.opf": '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
            'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Pumps</dc:title></metadata>'
            f'<manifest>{items}</manifest><spine><itemref idref="c2"/><itemref idref="c1"/></spine></package>',
        }
        | {
            f"OEBPS/ch {n}.xhtml": f"<?xml version='1.0'?><!DOCTYPE html [<!ENTITY x 'y'>]><html><head><title/>"
            f"<script src='x'/></head><body><h2>Chapter {n}</h2><p>Words <i>of</i> {n}</p></body></html>"
            for n in (1, 2)
        }
    )

    parsed = read(tmp_path, data, "a.epub")

    assert parsed.text == "## Chapter 2\n\nWords of 2\n\n## Chapter 1\n\nWords of 1"
    assert parsed.title == "Pumps"


def test_a_web_page_loses_its_machinery(tmp_path: Path) -> None:
    page = """<html><head><title>Pump care</title><style>STYLE</style></head><body><!-- COMMENT -->
    <h1>Pump <b>care</b><br>guide</h1>Loose text<p>One<sub>2</sub> <a href="http://x">link</a></p><script>SCRIPT</script>
    <ul><li>first</li><li><p>second</p></li></ul><noscript>NOSCRIPT</noscript>
    <table><tr><th>Part</th><th>Mass</th></tr><tr><td>Valve<script>S</script></td><td>2&nbsp;kg</td></tr></table>
    <table><tr><td><h2>Layout</h2><p>cell</p></td></tr></table><pre>a\n  b</pre>end</body></html>"""

    parsed = read(tmp_path, page, "a.html")

    assert parsed.text == (
        "# Pump care guide\n\nLoose text\n\nOne2 link\n\n- first\n- second\n\n"
        "| Part | Mass |\n| --- | --- |\n| Valve | 2 kg |\n\n## Layout\n\ncell\n\n```\na\n  b\n```\n\nend"
    ).replace("# Pump care guide", "# Pump care guide")
    assert parsed.title == "Pump care"


@pytest.mark.parametrize(
    ("encoding", "declared"), [("cp1251", "windows-1251"), ("shift_jis", "Shift_JIS"), ("utf-16", "utf-8")]
)
def test_a_web_page_in_its_own_encoding(tmp_path: Path, encoding: str, declared: str) -> None:
    words = "ポンプに注油する" if encoding == "shift_jis" else "Насос смазывать"
    page = f'<html><head><meta charset="{declared}"></head><body><p>{words}</p></body></html>'

    assert read(tmp_path, page.encode(encoding), "a.html").text == words


def test_text_named_as_a_web_page_stays_text_and_the_other_way_round(tmp_path: Path) -> None:
    assert read(tmp_path, "# Head\n\ntext 1 < 2", "a.html").text == "# Head\n\ntext 1 < 2"
    assert read(tmp_path, "<!DOCTYPE html><html><script>S</script><p>seen</p></html>", "a.txt").text == "seen"


def test_markdown_and_text_stay_character_for_character(tmp_path: Path) -> None:
    source = "# Title\n\n*a*  b\n\n| x |\n"

    assert read(tmp_path, source, "a.md") == ParsedText(source, [], None, "text/markdown", {"encoding": "utf-8"})
    assert read(tmp_path, "# Real title\n" + source, "a.md").title == "Real title"
    assert read(tmp_path, source, "a.txt").text == source


def test_an_html_only_message_in_a_legacy_encoding(tmp_path: Path) -> None:
    body = base64.b64encode("<p>Привет, это письмо о насосе.</p><script>S</script>".encode("koi8-r")).decode()
    message = (
        "Subject: =?utf-8?B?w6k=?= =?iso-8859-1?Q?=E8?=\nFrom: =?koi8-r?B?8NLJ18XU?= <a@example.org>\n"
        f"Content-Type: text/html; charset=koi8-r\nContent-Transfer-Encoding: base64\n\n{body}"
    )

    parsed = read(tmp_path, message, "a.eml")

    assert parsed.text == "Subject: éè\nFrom: Привет <a@example.org>\n\nПривет, это письмо о насосе."
    assert parsed.title == "éè"


def test_a_message_names_its_attachments_and_shows_one_of_two_bodies(tmp_path: Path) -> None:
    message = (
        'Subject: Hi\nContent-Type: multipart/mixed; boundary="m"\n\n--m\n'
        'Content-Type: multipart/alternative; boundary="a"\n\n--a\nContent-Type: text/plain; charset=utf-8\n'
        "Content-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9\n--a\nContent-Type: text/html\n\n<p>HTML</p>\n--a--\n"
        '--m\nContent-Type: application/pdf\nContent-Disposition: attachment; filename="plan.pdf"\n\nJVBERi0=\n--m--\n'
    )

    assert read(tmp_path, message, "a.eml").text == "Subject: Hi\nAttachments: plan.pdf\n\ncafé"


def test_an_unknown_extension_is_read_as_text_or_refused_by_name(tmp_path: Path) -> None:
    assert read(tmp_path, "key = value", "settings.ini").text == "key = value"
    with pytest.raises(UnsupportedType, match=r"\.one are not supported"):
        read(tmp_path, bytes(range(256)) * 9, "notes.one")
    with pytest.raises(UnsupportedType, match="XLSB"):
        read(tmp_path, packed({"xl/workbook.bin": ""}), "a.xlsb")


def test_rtf_in_cyrillic(tmp_path: Path) -> None:
    source = (
        rb"{\rtf1\ansi\ansicpg1251{\fonttbl{\f0\fcharset204 Arial;}}\f0 \'cf\'f0\'e8\'e2\'e5\'f2 \u1084?\u1080?\u1088?}"
    )

    assert read(tmp_path, source, "a.rtf").text == "Привет мир"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.json", "a.html", "a.eml", "a.pdf", "a.docx"])
def test_nothing_in_it_is_said_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(NoText, match="No text found"):
        read(tmp_path, b"", name)


@pytest.mark.parametrize("content", ["   \n\t\n", "\ufeff", "<html><script>x()</script></html>"])
def test_space_and_scripts_are_no_text(tmp_path: Path, content: str) -> None:
    with pytest.raises(NoText):
        read(tmp_path, content, "a.html")
