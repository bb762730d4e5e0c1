"""E-mail messages: the headers people read, the body, and the names of the attachments."""

from __future__ import annotations

import email
import email.header
import email.policy
import email.utils
import re
from collections.abc import Iterator
from email.message import Message

from rag.errors import NoText, ParseError
from rag.reading.textfiles import decode
from rag.reading.webpages import html_text

_SHOWN = ("Subject", "From", "To", "Cc", "Date")
_ENCRYPTED = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted")
_SEVEN_BIT = ("utf-7", "hz-gb-2312", "iso-2022-jp", "iso-2022-kr")
_MAX_PARTS = 2000
_LONGEST_HEADER = 20_000
_HEADER = re.compile(r"^(?:From |[A-Za-z][A-Za-z0-9-]{0,60}:)")


def looks_like_email(text: str) -> bool:
    """True when the first filled line is a mail header."""
    return _HEADER.match(text.lstrip("\ufeff\r\n ")) is not None


def email_text(data: bytes) -> tuple[str, str | None]:
    """Return the readable text of a message and its subject. Raises NoText when the body is encrypted or absent."""
    message = email.message_from_bytes(data.lstrip(b"\xef\xbb\xbf\r\n \t"), policy=email.policy.compat32)
    headers = {name: value for name in _SHOWN if (value := _header(message, name))}
    body, attachments = _contents(message)
    if not body and _is_encrypted(message):
        raise NoText("The text of this e-mail is encrypted.", hint="Decrypt it in your mail program and save it again.")
    lines = [f"{name}: {value}" for name, value in headers.items()]
    if attachments:
        lines.append(f"Attachments: {', '.join(attachments)}")
    return "\n\n".join(filter(None, ["\n".join(lines), body])), headers.get("Subject")


def _header(message: Message, name: str) -> str:
    value = message.get(name)
    return _decoded(value) if value is not None else ""


def _decoded(value: object) -> str:
    """A header with its encoded words decoded; raw bytes outside ASCII are detected like a text file's."""
    # Decoding encoded words costs the square of their number, so an absurdly long header is cut.
    raw = re.sub(r"\r?\n[ \t]+", " ", str(value)[:_LONGEST_HEADER])
    raw = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        shown = str(email.header.make_header(email.header.decode_header(raw)))
    except (LookupError, ValueError, email.errors.HeaderParseError):
        shown = raw
    return " ".join(shown.split())


def _contents(message: Message) -> tuple[str, list[str]]:
    """All inline text of a message, plain rather than HTML where it offers both, and the attachments' names."""
    texts: list[str] = []
    attachments: list[str] = []
    for part in _leaves(message):
        name = part.get_filename()
        kind = part.get_content_type()
        if name or part.get_content_disposition() == "attachment":
            attachments.append(_decoded(name or "unnamed"))
        elif kind == "text/html":
            texts.append(html_text(_payload(part))[0])
        elif kind.startswith("text/") and kind != "text/calendar":
            texts.append(_payload(part).strip())
    return "\n\n".join(filter(None, texts)), attachments


def _leaves(message: Message) -> Iterator[Message]:
    """Parts without parts, one of each ``multipart/alternative``; without recursion, since nesting is the sender's."""
    waiting = [message]
    seen = 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > _MAX_PARTS:
            raise ParseError(f"This e-mail has more than {_MAX_PARTS:,} parts.")
        if not part.is_multipart():
            yield part
            continue
        parts = [child for child in part.get_payload() if isinstance(child, Message)]
        if part.get_content_type() == "multipart/alternative":
            parts = _best(parts)
        waiting += reversed(parts)


def _best(parts: list[Message]) -> list[Message]:
    """The plain text where it says anything, else whatever richer form there is."""
    for part in parts:
        if part.get_content_type() == "text/plain" and _payload(part).strip():
            return [part]
    return [part for part in parts if part.get_content_type() != "text/plain"][-1:]


def _payload(part: Message) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else str(part.get_payload()).encode("utf-8", "surrogateescape")
    declared = part.get_content_charset()
    if declared in _SEVEN_BIT or not data:
        return data.decode(declared or "ascii", "replace")
    try:
        return decode(data, declared)[0]
    except ParseError:
        # One odd part must not cost the whole message; what can't be told is shown as U+FFFD.
        return data.decode("ascii", "replace")


def _is_encrypted(message: Message) -> bool:
    return any(part.get_content_type() in _ENCRYPTED for part in message.walk())
