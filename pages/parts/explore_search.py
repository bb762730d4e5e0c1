"""The field that finds text on the map while one types, and says how many passages contain it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages.parts import explore_state
from pages.parts.explore_address import MAX_TEXT

_KEY = "explore_find"
_HTML = f"""
<div class="cs-find">
  <span class="cs-icon" aria-hidden="true">search</span>
  <input type="text" maxlength="{MAX_TEXT}" aria-label="Find text on the map" placeholder="Find text on the map"
    title="Every word must be in the passage; “a phrase” in quotes as it stands" spellcheck="false" autocomplete="off">
  <output class="cs-found" aria-live="polite"></output>
  <button type="button" aria-label="Clear"><span class="cs-icon" aria-hidden="true">close</span></button>
</div>
"""
_CSS = """
.cs-find {
  display: flex;
  align-items: center;
  gap: 0.4rem;
  min-height: 2.5rem;
  padding: 0 0.5rem 0 0.65rem;
  border: 1px solid var(--st-widget-border-color, var(--st-border-color));
  border-radius: var(--st-base-radius);
  background: var(--st-secondary-background-color);
  box-sizing: border-box;
}
.cs-find:focus-within { border-color: var(--st-primary-color); }
.cs-find input {
  flex: 1;
  min-width: 4rem;
  border: 0;
  background: none;
  color: inherit;
  font: inherit;
  font-size: 1rem;
}
.cs-find input:focus { outline: none; }
.cs-find input::placeholder { color: color-mix(in srgb, currentColor 58%, transparent); opacity: 1; }
.cs-find .cs-found {
  white-space: nowrap;
  font-size: 0.82rem;
  font-variant-numeric: tabular-nums;
  color: color-mix(in srgb, currentColor 66%, transparent);
}
.cs-find button {
  display: grid;
  border: 0;
  padding: 0.1rem;
  background: none;
  color: inherit;
  cursor: pointer;
  border-radius: 0.3rem;
}
.cs-find button[hidden] { display: none; }
.cs-find .cs-icon { opacity: 0.7; }
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "corpuscope_find",
        html=_HTML,
        css=_CSS,
        js=Path(__file__).with_name("explore_search.js").read_text(),
        isolate_styles=False,
    )


def search_field(found: str) -> None:
    """Draw it; ``found`` is said of the text that the look has. What is typed is in the look of the next run."""
    data = {"text": explore_state.look().text, "found": found}
    _component()(key=_KEY, data=data, on_text_change=_take_up, height="content")


def _take_up() -> None:
    text = read_text(st.session_state.get(_KEY, {}).get("text"))
    if text is not None:
        explore_state.change(text=text)


def read_text(value: object) -> str | None:
    """What the browser sent, None where it can't be meant."""
    text = value.get("text") if isinstance(value, dict) else None
    return " ".join(text.replace("\x00", " ").split())[:MAX_TEXT] if isinstance(text, str) else None
