"""The child process that draws one page of a PDF, with words on it highlighted; it ends when that is done.

Started as ``python -m rag.reading.page_child``. Standard input is one line of JSON ``{"page", "quote", "at", "width",
"memory_bytes", "seconds"}`` and then the file to its end; the answer is one line of JSON and then the picture.
Nothing is written to the disk. Pages count from 1.
"""

from __future__ import annotations

import ctypes
import io
import json
import math
import os
import signal
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

#: A page that says it is larger is drawn smaller.
_MAX_PIXELS = 3_000_000
_MAX_SIDE = 4_000
_GRACE_SECONDS = 2
#: On the clock, in case the parent is gone: later than its own patience.
_WALL_FACTOR = 8
_INK = (255, 214, 70)
_EDGE = (214, 137, 0)

Box = tuple[int, int, int, int]


def main() -> None:
    """Answer the one request of standard input."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.readline(100_000))
    _limit(int(request["memory_bytes"]), int(request["seconds"]))
    head, picture = _answer(request, sys.stdin.buffer.read())
    answers.write(json.dumps(head).encode() + b"\n" + picture)
    answers.flush()


def _limit(memory_bytes: int, seconds: int) -> None:
    """Limits from the kernel, which hold even while native code never returns."""
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_WALL_FACTOR * seconds)
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + _GRACE_SECONDS))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if sys.platform == "linux" and hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, hard))


def _answer(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    import pypdfium2

    try:
        return _draw(request, data)
    except pypdfium2.PdfiumError as error:
        return {"error": "password" if "password" in str(error).lower() else "damaged"}, b""
    except MemoryError:
        return {"error": "memory"}, b""
    except Exception as error:  # noqa: BLE001 (whatever a hostile file breaks must become an answer; the log gets it)
        return {"error": "damaged", "detail": f"{type(error).__name__}: {error}"[:300]}, b""


def _draw(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    import pypdfium2
    import pypdfium2.raw as pdfium

    pdf = pypdfium2.PdfDocument(data)
    number = int(request["page"])
    if not 1 <= number <= len(pdf):
        return {"error": "no page", "pages": len(pdf)}, b""
    page = pdf[number - 1]
    if pdfium.FPDFPage_GetAnnotCount(page):
        # As the text was read: filled form fields and typed notes are part of it.
        pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
        page.close()
        page = pdf[number - 1]
    width, height = page.get_size()
    bitmap = page.render(scale=_scale(width, height, int(request["width"])))
    image = bitmap.to_pil().convert("RGB")
    boxes = _boxes(page, image.size, str(request["quote"]), float(request["at"]))
    picture = io.BytesIO()
    _highlight(image, boxes).save(picture, "WEBP", quality=84, method=2)
    top = min((box[1] for box in boxes), default=0) / image.height
    head = {"width": image.width, "height": image.height, "pages": len(pdf), "found": bool(boxes), "top": round(top, 4)}
    return head, picture.getvalue()


def _scale(width: float, height: float, wanted: int) -> float:
    """Pixels a point, so that the page is ``wanted`` pixels wide but no larger than what may be drawn."""
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise ValueError("a page without a size")
    return min(wanted / width, math.sqrt(_MAX_PIXELS / (width * height)), _MAX_SIDE / max(width, height))


def _boxes(page: Any, size: tuple[int, int], quote: str, at: float) -> list[Box]:
    """Where the quoted words are on the picture: a box for each line."""
    import pypdfium2.raw as pdfium

    if not quote.strip():
        return []
    text_page = page.get_textpage()
    found: list[Box] = []
    for first, last in find_words(text_page.get_text_range(errors="ignore"), quote, at):
        for rect in range(text_page.count_rects(first, last - first)):
            left, bottom, right, top = text_page.get_rect(rect)
            corners = []
            for x, y in ((left, bottom), (right, top)):
                here, there = ctypes.c_int(), ctypes.c_int()
                pdfium.FPDF_PageToDevice(page, 0, 0, *size, 0, x, y, here, there)
                corners.append((here.value, there.value))
            (x1, y1), (x2, y2) = corners
            found.append((min(x1, x2) - 2, min(y1, y2) - 2, max(x1, x2) + 2, max(y1, y2) + 2))
    return found


def find_words(text: str, quote: str, at: float) -> list[tuple[int, int]]:
    """Where ``quote`` is in a page's text, in UTF-16 units, end exclusive; as whole or, in other columns, by its lines.

    Only letters and figures count, whatever their case or form. Of several places the one nearest to ``at`` (0 is the
    beginning of the page, 1 its end) is meant.
    """
    folded, places = _fold(text)
    wanted = _fold(quote)[0]
    if not wanted or not folded:
        return []
    if (whole := _nearest(folded, wanted, at * len(folded))) is not None:
        return [_units(places, whole, len(wanted))]
    found, here = [], at * len(folded)
    for line in quote.splitlines():
        part = _fold(line)[0]
        start = _nearest(folded, part, here) if len(part) > 2 else None
        if start is not None:
            found.append(_units(places, start, len(part)))
            here = start + len(part)
    return found


def _fold(text: str) -> tuple[str, list[int]]:
    """Letters and figures in one form, and the UTF-16 unit that each comes from."""
    letters: list[str] = []
    places: list[int] = []
    unit = 0
    for letter in text:
        for form in unicodedata.normalize("NFKD", letter).casefold():
            if form.isalnum():
                letters.append(form)
                places.append(unit)
        unit += 1 + (ord(letter) > 0xFFFF)
    return "".join(letters), places


def _nearest(text: str, part: str, place: float) -> int | None:
    return min(_occurrences(text, part), key=lambda start: abs(start - place), default=None)


def _occurrences(text: str, part: str) -> Iterator[int]:
    start = text.find(part)
    while start >= 0:
        yield start
        start = text.find(part, start + 1)


def _units(places: list[int], start: int, length: int) -> tuple[int, int]:
    return places[start], places[start + length - 1] + 1


def _highlight(image: Any, boxes: list[Box]) -> Any:
    """As with a marker pen: what is dark stays readable."""
    from PIL import Image, ImageChops, ImageDraw

    if not boxes:
        return image
    layer = Image.new("RGB", image.size, "white")
    pen = ImageDraw.Draw(layer)
    for box in boxes:
        pen.rounded_rectangle(box, radius=3, fill=_INK)
    marked = ImageChops.multiply(image, layer)
    lines = ImageDraw.Draw(marked)
    for left, _, right, bottom in boxes:
        lines.line((left, bottom, right, bottom), fill=_EDGE, width=2)
    return marked


if __name__ == "__main__":
    main()
