"""The app: its frame, the page that was asked for, and one place where an error becomes a sentence."""

from __future__ import annotations

from pages.parts.process import settle
from pages.parts.shell import open_frame
from pages.parts.words import show_error
from rag.errors import CorpuscopeError

page = open_frame()
try:
    page.run()
except CorpuscopeError as error:
    show_error(error)
settle()
