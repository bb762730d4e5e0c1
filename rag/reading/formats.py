"""The file formats that can be read: for the reader, the upload widget and the docs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Format:
    """A readable format: ``key`` is our short name, ``family`` groups formats that are often named as one another."""

    key: str
    label: str
    media_type: str
    extensions: tuple[str, ...]
    family: str
    text: bool = False


_OOXML = "application/vnd.openxmlformats-officedocument."
ODF = "application/vnd.oasis.opendocument."

SUPPORTED: tuple[Format, ...] = (
    Format("pdf", "PDF", "application/pdf", ("pdf",), "pdf"),
    Format("docx", "Word (DOCX)", _OOXML + "wordprocessingml.document", ("docx", "docm", "dotx", "dotm"), "writing"),
    Format("doc", "Word 97–2003 (DOC)", "application/msword", ("doc", "dot"), "writing"),
    Format("odt", "OpenDocument text (ODT)", ODF + "text", ("odt", "ott"), "writing"),
    Format("rtf", "Rich Text (RTF)", "application/rtf", ("rtf",), "writing"),
    Format(
        "pptx", "PowerPoint (PPTX)", _OOXML + "presentationml.presentation", ("pptx", "pptm", "ppsx", "potx"), "slides"
    ),
    Format("ppt", "PowerPoint 97–2003 (PPT)", "application/vnd.ms-powerpoint", ("ppt", "pps"), "slides"),
    Format("odp", "OpenDocument presentation (ODP)", ODF + "presentation", ("odp",), "slides"),
    Format("xlsx", "Excel (XLSX)", _OOXML + "spreadsheetml.sheet", ("xlsx", "xlsm", "xltx"), "sheets"),
    Format("xls", "Excel 97–2003 (XLS)", "application/vnd.ms-excel", ("xls",), "sheets"),
    Format("ods", "OpenDocument spreadsheet (ODS)", ODF + "spreadsheet", ("ods",), "sheets"),
    Format("epub", "EPUB book", "application/epub+zip", ("epub",), "epub"),
    Format("msg", "Outlook e-mail (MSG)", "application/vnd.ms-outlook", ("msg",), "email"),
    Format("eml", "E-mail (EML)", "message/rfc822", ("eml", "mht", "mhtml"), "email", text=True),
    Format("html", "Web page (HTML)", "text/html", ("html", "htm", "xhtml"), "text", text=True),
    Format("md", "Markdown", "text/markdown", ("md", "markdown", "mdx"), "text", text=True),
    Format("txt", "Plain text", "text/plain", ("txt", "text", "log", "rst", "srt", "vtt"), "text", text=True),
    Format("csv", "Comma-separated table (CSV)", "text/csv", ("csv",), "text", text=True),
    Format("tsv", "Tab-separated table (TSV)", "text/tab-separated-values", ("tsv", "tab"), "text", text=True),
    Format("json", "JSON", "application/json", ("json",), "text", text=True),
    Format("jsonl", "JSON lines", "application/jsonl", ("jsonl", "ndjson"), "text", text=True),
)
BY_KEY = {form.key: form for form in SUPPORTED}
BY_EXTENSION = {extension: form for form in SUPPORTED for extension in form.extensions}


def supported_extensions() -> list[str]:
    """Every extension that can be uploaded, without the dot, for an upload widget."""
    return sorted(BY_EXTENSION)


def extension_of(name: str) -> str:
    """The lower-case extension without the dot, "" when there is none."""
    return Path(name).suffix[1:].lower()
