"""The characters of a text file in any common encoding, or a clear error: never silently wrong letters."""

from __future__ import annotations

import codecs
import re

from rag.errors import ParseError
from rag.reading.alphabets import plausibility

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
#: Tried when the detector's own guess does not look like a language, in this order.
_CANDIDATES = (
    "cp1252", "cp1251", "cp1250", "cp1254", "cp1257", "cp1258", "mac_roman", "mac_cyrillic", "cp850", "cp852",
    "cp866", "koi8-r", "koi8-u", "cp437", "cp1253", "cp1255", "cp1256", "mac_latin2", "mac_turkish", "mac_greek",
    "iso8859-15", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-13", "iso8859-9", "cp874", "cp932", "gb18030",
    "big5hkscs", "cp949", "euc_jp",
)  # fmt: skip
_PYTHON_NAMES = {
    "shift_jis": "cp932", "gbk": "gb18030", "gb2312": "gb18030", "euc-kr": "cp949", "ks_c_5601-1987": "cp949",
    "big5": "big5hkscs", "windows-874": "cp874", "iso-8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252",
    "iso-8859-8-i": "iso8859-8", "iso-8859-8-e": "iso8859-8", "iso-8859-9": "cp1254", "tis-620": "cp874",
    "x-mac-cyrillic": "mac_cyrillic", "macintosh": "mac_roman", "x-sjis": "cp932", "unicode": "utf-16",
}  # fmt: skip
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f￾￿]")
_ESCAPED_JAPANESE = re.compile(rb"\x1b\$[@B]|\x1b\(J")
_ESCAPED_KOREAN = re.compile(rb"\x1b\$\)C")
_SAMPLE = 60_000
_HEAD = 2**20
_ENOUGH = 0.85
_MARGIN = 0.01
_NEXT_STEP = "Save it as UTF-8 in an editor and upload it again."


def decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """Return the text and the name of its encoding.

    Order: byte order mark, NUL pattern of UTF-16 and UTF-32, UTF-8, the encoding that the file ``declared``, and then
    detection whose result must look like a written language. Raises :class:`ParseError` for binary data and for
    encodings that can't be told.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _decode_marked(data[len(bom) :], encoding)
    found = _wide(data) or _utf8(data) or _escaped(data) or _declared(data, declared)
    if found:
        return found
    _refuse_binary(data)
    return _detect(data)


def clean(text: str) -> str:
    """Text as it is stored: newlines as ``\\n``; no NUL, U+FEFF, other controls, noncharacters or lone surrogates."""
    text = re.sub(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n", text)
    return re.sub(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]", "", text)


def _decode_marked(data: bytes, encoding: str) -> tuple[str, str]:
    try:
        return data.decode(encoding), encoding
    except UnicodeDecodeError as error:
        text = data.decode(encoding, "replace")
        if text.count("\ufffd") > 1 + len(text) // 200:
            raise ParseError(
                f"The file starts as {encoding.upper()} text, but its content is not.", hint=_NEXT_STEP
            ) from error
        return text, encoding


def _wide(data: bytes) -> tuple[str, str] | None:
    """UTF-16 and UTF-32 without a mark: zero bytes sit at one place of every two or four."""
    sample = data[:_SAMPLE]
    zeros = sample.count(0)
    if not zeros:
        return None
    for encoding, width, place in (("utf-32-le", 4, 3), ("utf-32-be", 4, 0)):
        if len(data) % width == 0 and sample[place::4].count(0) * 4 >= len(sample) and zeros * 2 > len(sample):
            return _strict(data, encoding)
    for encoding, place in (("utf-16-le", 1), ("utf-16-be", 0)):
        if sample[place::2].count(0) * 3 >= len(sample) // 2 and sample[1 - place :: 2].count(0) * 50 <= len(sample):
            return _strict(data, encoding)
    if len(data) % 2 == 1 or (zeros * 10 < len(sample) and _is_clean_utf8(sample.replace(b"\0", b""))):
        return None
    scored = [(_score(data[:_HEAD], encoding), encoding) for encoding in ("utf-16-le", "utf-16-be")]
    score, encoding = max(scored)
    return _strict(data, encoding) if score >= _ENOUGH else None


def _is_clean_utf8(data: bytes) -> bool:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.end < len(data) - 3:
            return False
        text = data.decode("utf-8", "ignore")
    return len(_CONTROLS.findall(text)) <= len(text) // 100


def _utf8(data: bytes) -> tuple[str, str] | None:
    """UTF-8; a few damaged characters among many good ones are kept as U+FFFD instead of spoiling all others."""
    if _ESCAPED_JAPANESE.search(data[:_SAMPLE]) or _ESCAPED_KOREAN.search(data[:_SAMPLE]):
        return None
    found = _strict(data, "utf-8")
    if found is None:
        text = data.decode("utf-8", "replace")
        good = sum(1 for char in text[: 20 * _SAMPLE] if char > "\x7f" and char != "\ufffd")
        if text[: 20 * _SAMPLE].count("\ufffd") * 20 > good:
            return None
        found = text, "utf-8"
    text = found[0]
    visible = text.replace("\0", "")[: 20 * _SAMPLE]
    if len(visible) * 5 < 4 * len(text[: 20 * _SAMPLE]) or _controls(visible):
        _refuse_binary(data)
    return found


def _controls(text: str) -> bool:
    """True when there are more control characters than a text file has by accident."""
    return len(_CONTROLS.findall(text)) > 1 + len(text) // 50


def _escaped(data: bytes) -> tuple[str, str] | None:
    if _ESCAPED_KOREAN.search(data[:_SAMPLE]):
        return _strict(data, "iso2022_kr")
    if _ESCAPED_JAPANESE.search(data[:_SAMPLE]):
        return _strict(data, "iso2022_jp_ext")
    return None


def _declared(data: bytes, declared: str | None) -> tuple[str, str] | None:
    name = _python_name(declared)
    if not name or name.startswith("utf"):
        return None
    found = _strict(data, name)
    return found if found and plausibility(found[0][:_SAMPLE]) >= _ENOUGH else None


def _python_name(encoding: str | None) -> str | None:
    if not encoding:
        return None
    lower = encoding.strip().lower()
    name = _PYTHON_NAMES.get(lower, lower)
    try:
        return name if codecs.lookup(name)._is_text_encoding else None
    except (LookupError, ValueError):
        return None


def _strict(data: bytes, encoding: str) -> tuple[str, str] | None:
    try:
        return data.decode(encoding), encoding
    except (UnicodeDecodeError, LookupError):
        return None


def _refuse_binary(data: bytes) -> None:
    sample = data[:_SAMPLE]
    controls = sum(sample.count(byte) for byte in (*range(9), *range(14, 27), *range(28, 32)))
    if controls > 1 + len(sample) // 50:
        raise ParseError(
            "This is not a text file: it holds binary data.", hint="Upload it under its real file type, or as PDF."
        )


def _detect(data: bytes) -> tuple[str, str]:
    """The detector's guess when it reads as a language, else the candidate that reads best."""
    import chardetng_py

    head = data[:_HEAD]
    detector = chardetng_py.EncodingDetector()
    detector.feed(head, last=True)
    guess, _ = detector.guess_assess(tld=None, allow_utf8=False)
    best, best_score = "", 0.0
    guessed = _python_name(guess) or "cp1252"
    for encoding in dict.fromkeys([guessed, *_CANDIDATES]):
        score = _score(head, encoding)
        # The detector knows letter pairs of many languages; another encoding must read clearly better than its guess.
        if score > best_score + (_MARGIN if best == guessed and best_score > 0 else 0.005):
            best, best_score = encoding, score
        if best_score >= 0.99:
            break
    if best_score < _ENOUGH:
        raise ParseError(
            "The encoding of this text could not be recognised, so its letters would come out wrong.", hint=_NEXT_STEP
        )
    return _decode_marked(data, best)


def _score(head: bytes, encoding: str) -> float:
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head, final=len(head) < _HEAD)
    except UnicodeDecodeError:
        return 0.0
    return 0.0 if _controls(text[:_SAMPLE]) else plausibility(_telling(text))


def _telling(text: str) -> str:
    """The part of a long text that says most about its encoding: the lines with letters outside ASCII."""
    if len(text) <= _SAMPLE:
        return text
    windows = re.findall(r"[^\n]{0,80}[^\x00-\x7f][^\n]{0,80}", text[: 20 * _SAMPLE])
    return "\n".join(windows)[:_SAMPLE] or text[:_SAMPLE]
