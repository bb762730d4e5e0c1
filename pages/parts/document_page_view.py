"""The page of a PDF itself, as a picture beside its text, with the words that the address names highlighted.

The picture travels inside of the page's own data: it has no address that somebody else could open.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from uuid import UUID

import streamlit as st

from pages.parts.product import product
from pages.parts.session import connect
from pages.parts.words import guarded, show_error
from rag.corpus.originals import read_original
from rag.errors import CorpuscopeError
from rag.reading.page_pictures import PagePicture, PageWanted, draw_page, page_at, words_on_page
from rag.records import DocumentRow, DocumentText

Span = tuple[int, int]

_DRAWN = "drawn_pages"
#: Kept for a person who turns back; a picture takes about 200 KB.
_MOST_KEPT = 12
_LARGE = 1700


def page_switch(document: DocumentRow, text: DocumentText, *, wanted: bool) -> bool:
    """Whether the page is shown; ``wanted`` says so until somebody switches. Only PDFs have pages to show."""
    if document.media_type != "application/pdf" or not text.page_starts:
        return False
    return st.toggle(
        "Page", value=wanted, key=f"page-{document.id}", help="The page of the PDF itself, beside its text"
    )


def show_page(document: DocumentRow, text: DocumentText, focus: Span | None) -> None:
    """A pager and the page, first the one that holds ``focus``."""
    st.fragment(_show_page, key=f"page-of-{document.id}")(document, text, focus)


@guarded
def _show_page(document: DocumentRow, text: DocumentText, focus: Span | None) -> None:
    number = first = page_at(text.page_starts, focus[0]) if focus else 1
    pages = len(text.page_starts)
    with st.container(horizontal=True, vertical_alignment="center"):
        if pages > 1:
            number = st.pagination(pages, default=first, key=f"page-{document.id}-{text.revision}-{focus}")
        else:
            st.caption("The only page", width="content")
        if st.button("Larger", icon=":material/zoom_in:", type="tertiary", key="larger-page"):
            _larger(document, text, focus, number)
    _draw(document, words_on_page(text.text, text.page_starts, number, focus))


@st.dialog("Page", width="large")
@guarded
def _larger(document: DocumentRow, text: DocumentText, focus: Span | None, number: int) -> None:
    _draw(document, words_on_page(text.text, text.page_starts, number, focus, _LARGE))


def _draw(document: DocumentRow, wanted: PageWanted) -> None:
    try:
        with st.spinner("Drawing the page", show_time=False):
            picture = _picture(document.id, wanted)
    except CorpuscopeError as error:
        show_error(error)
        return
    st.html(_figure(picture, f"Page {wanted.page} of {document.name}"))
    if wanted.quote and not picture.found:
        st.caption("The words were not found on the picture of the page; the text beside has them.")


def _figure(picture: PagePicture, name: str) -> str:
    data = b64encode(picture.image).decode()
    size = f'width="{picture.width}" height="{picture.height}"'
    marked = ", with the words highlighted" if picture.found else ""
    return (
        f'<figure class="cs-page-picture"><img {size} alt="{escape(name + marked, quote=True)}" '
        f'src="data:image/webp;base64,{data}"></figure>'
    )


def _picture(document_id: UUID, wanted: PageWanted) -> PagePicture:
    """Drawn once a session: a document's file never changes. Whose session it is, may read the document."""
    drawn: dict[tuple[UUID, PageWanted], PagePicture] = st.session_state.setdefault(_DRAWN, {})
    picture = drawn.pop((document_id, wanted), None) or draw_page(_file(document_id), wanted)
    drawn[(document_id, wanted)] = picture
    while len(drawn) > _MOST_KEPT:
        del drawn[next(iter(drawn))]
    return picture


def _file(document_id: UUID) -> Iterator[bytes]:
    return read_original(connect, document_id, product().originals)
