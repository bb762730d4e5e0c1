"""The text layer of a PDF page by page, with headings told by their letter size.

pypdfium2 rather than kreuzberg: kreuzberg 4.10 turns lines of Arabic around and takes them for tables.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium

from rag.errors import NoText, ParseError, PasswordNeeded
from rag.reading.columns import Gap, Line, in_reading_order
from rag.reading.textfiles import clean

_MAX_PAGES = 20_000
_HEADING_CHARS = 160
_LARGER = 1.12
_LEVELS = 4
_MOST_HEADINGS = 0.35
#: Bold lines are headings only in documents that use bold sparingly.
_MOST_BOLD = 0.15
_BOLD_CHARS = 90
_GAP = 1.45
_LIGATURE = re.compile("[اأإآ]ل")
_BETWEEN = re.compile(r"(?<=\S) +(?=\S)")
_GUTTER = 0.9
_GAP_CHARS = 30
_BOLD_FONT = re.compile(rb"bold|black|heavy|semibold|demi|-medi|cmbx|cmssbx|[+-]b$|,b", re.IGNORECASE)
_EMPTY_LINES = re.compile(r"\n{3,}")
_ODD_START = re.compile(r"[,;:.)\]–—-]")
_SENTENCE_END = re.compile(r"[.,;:!?。、،؛]$")


@dataclass(frozen=True)
class PdfText:
    """Text of all pages; ``page_starts[i]`` is the offset of page i + 1; ``silent`` counts pages without text."""

    text: str
    page_starts: list[int]
    silent: int
    metadata: dict[str, str]


def pdf_text(path: Path) -> PdfText:
    """Read every page. Raises PasswordNeeded, NoText (a scan) or ParseError (damaged)."""
    pdf = _open(path)
    try:
        pages = [list(_lines(pdf, number)) for number in range(len(pdf))]
        metadata = {key.lower(): clean(value).strip() for key, value in pdf.get_metadata_dict(skip_empty=True).items()}
    except pypdfium2.PdfiumError as error:
        raise _damaged() from error
    finally:
        pdf.close()
    if not any(any(char.isalnum() for char in line.text) for lines in pages for line in lines):
        raise NoText(
            f"No text found: {_count(len(pages))} of this PDF {'has' if len(pages) == 1 else 'have'} no text layer."
        )
    return _join(pages, metadata)


def _count(pages: int) -> str:
    return "the one page" if pages == 1 else f"the {pages:,} pages"


def _open(path: Path) -> pypdfium2.PdfDocument:
    try:
        pdf = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise PasswordNeeded("This PDF is protected by a password.") from error
        raise _damaged() from error
    pages = len(pdf)
    if not 0 < pages <= _MAX_PAGES:
        pdf.close()
        raise ParseError(f"This PDF says that it has {pages:,} pages; between 1 and {_MAX_PAGES:,} can be read.")
    return pdf


def _damaged() -> ParseError:
    return ParseError(
        "This PDF is damaged or cut off and can't be opened.",
        hint="Open it in a PDF reader, save or print it to a new PDF and upload that.",
    )


def _lines(pdf: pypdfium2.PdfDocument, number: int) -> Iterator[Line]:
    """The lines of a page in reading order; a page that can't be loaded has none."""
    try:
        page = pdf[number]
        if pdfium.FPDFPage_GetAnnotCount(page):
            # Filled form fields and typed notes become part of the page's text (in memory only).
            pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
            page.close()
            page = pdf[number]
        text_page = page.get_textpage()
    except pypdfium2.PdfiumError:
        return
    raw = text_page.get_text_range(errors="ignore")
    lines, place = [], 0
    for part in raw.splitlines(keepends=True):
        words = part.rstrip("\r\n")
        if words.strip():
            lines.append(_line(text_page, words, place))
        # pdfium counts UTF-16 code units.
        place += len(part.encode("utf-16-le", "surrogatepass")) // 2
    text_page.close()
    page.close()
    yield from in_reading_order(lines)


def _line(text_page: pypdfium2.PdfTextPage, words: str, place: int) -> Line:
    first = place + len(words) - len(words.lstrip())
    last = place + len(words.rstrip().encode("utf-16-le", "surrogatepass")) // 2 - 1
    start, end = _box(text_page, first), _box(text_page, last)
    text = clean(_logical(words, text_page, place))
    return Line(
        text=text.strip(),
        size=_size(text_page, first),
        top=start.top,
        last_top=end.top,
        bold=_bold(text_page, first) and _bold(text_page, last),
        left=start.left,
        right=end.right,
        gap=_gap(text_page, words, place) if text == words and len(words) >= _GAP_CHARS else None,
    )


def _gap(text_page: pypdfium2.PdfTextPage, words: str, place: int) -> Gap | None:
    """The widest gap between words when it is wide enough to be a gutter."""
    widest: Gap | None = None
    for found in _BETWEEN.finditer(words):
        before, after = _box(text_page, place + found.start() - 1), _box(text_page, place + found.end())
        if after.left - before.right > (
            widest.end - widest.start if widest else _GUTTER * (before.top - before.bottom)
        ):
            widest = Gap(found.end() - (len(words) - len(words.lstrip())), before.right, after.left)
    return widest


def _box(text_page: pypdfium2.PdfTextPage, place: int) -> pdfium.FS_RECTF:
    """A letter's box in points from the lower left corner of the page, as high as its font."""
    rect = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(text_page, place, rect)
    return rect


def _size(text_page: pypdfium2.PdfTextPage, place: int) -> float:
    """Letter size in points; many producers set size 1 and scale by the matrix. 0 for text turned as in margins."""
    matrix = pdfium.FS_MATRIX()
    scaled = pdfium.FPDFText_GetMatrix(text_page, place, matrix)
    if scaled and abs(matrix.b) > abs(matrix.a):
        return 0.0
    scale = float((matrix.c**2 + matrix.d**2) ** 0.5) if scaled else 1.0
    size = float(pdfium.FPDFText_GetFontSize(text_page, place))
    return round(size * (scale or 1.0) * 2) / 2


def _bold(text_page: pypdfium2.PdfTextPage, place: int) -> bool:
    """By the font's name; pdfium's own weight is a guess for most embedded fonts."""
    name, flags = ctypes.create_string_buffer(128), ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(text_page, place, name, len(name), ctypes.byref(flags))
    return _BOLD_FONT.search(name.value) is not None


def _logical(words: str, text_page: pypdfium2.PdfTextPage, place: int) -> str:
    """Undo pdfium's turning around of the lam-alef ligature: both letters of one glyph share an origin."""
    if not _LIGATURE.search(words):
        return words
    letters = list(words)
    for found in _LIGATURE.finditer(words):
        here = found.start()
        if _origin(text_page, place + here) == _origin(text_page, place + here + 1):
            letters[here], letters[here + 1] = letters[here + 1], letters[here]
    return "".join(letters)


def _origin(text_page: pypdfium2.PdfTextPage, place: int) -> tuple[float, float]:
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium.FPDFText_GetCharOrigin(text_page, place, ctypes.byref(x), ctypes.byref(y))
    return x.value, y.value


def _join(pages: list[list[Line]], metadata: dict[str, str]) -> PdfText:
    level_of = _heading_levels(pages)
    text, starts, length = [], [], 0
    for lines in pages:
        page = _EMPTY_LINES.sub("\n\n", "\n".join(_blocks(lines, level_of))).strip()
        starts.append(length)
        text.append(page)
        length += len(page) + 2
    return PdfText("\n\n".join(text), starts, sum(not lines for lines in pages), metadata)


def _heading_levels(pages: list[list[Line]]) -> Callable[[Line], int]:
    """Sizes clearly above that of most letters are headings, the largest of the first level; then bold lines."""
    weights: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            weights[line.size] += len(line.text)
    body = weights.most_common(1)[0][0]
    larger = sorted({size for size in weights if body > 0 and size >= body * _LARGER}, reverse=True)
    share = sum(weights[size] for size in larger) / max(1, weights.total())
    levels = {size: min(place, _LEVELS) for place, size in enumerate(larger, 1)} if share < _MOST_HEADINGS else {}
    bold = sum(len(line.text) for lines in pages for line in lines if line.bold) / max(1, weights.total())
    bold_level = min(len(levels), _LEVELS) + 1 if 0 < bold < _MOST_BOLD else 0

    def level_of(line: Line) -> int:
        if not _may_be_heading(line.text):
            return 0
        is_bold = line.bold and line.size >= body and len(line.text) <= _BOLD_CHARS
        return levels.get(line.size) or (bold_level if is_bold else 0)

    return level_of


def _may_be_heading(text: str) -> bool:
    letters = sum(char.isalpha() for char in text)
    is_short = letters >= 3 or (letters > 0 and ord(max(text)) > 0x2E80)
    return len(text) <= _HEADING_CHARS and is_short and not _SENTENCE_END.search(text) and not _ODD_START.match(text)


def _blocks(lines: list[Line], level_of: Callable[[Line], int]) -> Iterator[str]:
    """Lines with an empty one between paragraphs; a heading over several lines becomes one."""
    previous: Line | None = None
    heading: list[str] = []
    level = 0
    pitch = _pitch(lines)
    for line in lines:
        here = level_of(line)
        apart = previous is not None and _apart(previous, line, pitch)
        if heading and (here != level or apart):
            yield from _heading(heading, level)
            heading = []
        if here:
            if previous is not None and not heading:
                yield ""
            heading.append(line.text)
        else:
            if apart and level == 0:
                yield ""
            yield line.text
        previous, level = line, here
    if heading:
        yield from _heading(heading, level)


def _heading(lines: list[str], level: int) -> list[str]:
    """Lines of one size are one heading, unless they are too many, as in a table of contents."""
    joined = " ".join(lines)
    return [f"{'#' * level} {joined}", ""] if len(joined) <= _HEADING_CHARS else [*lines, ""]


def _pitch(lines: list[Line]) -> float:
    """The usual distance from line to line in points."""
    steps = [a.last_top - b.top for a, b in pairwise(lines)]
    usual = Counter(round(step) for step in steps if 2 < step < 60)
    return float(usual.most_common(1)[0][0]) if usual else 0.0


def _apart(above: Line, below: Line, pitch: float) -> bool:
    """True where a paragraph ends. A step up is a new column or part of the page, where a sentence may go on."""
    return 0 < _GAP * max(pitch, 1.15 * max(above.size, below.size)) < above.last_top - below.top
