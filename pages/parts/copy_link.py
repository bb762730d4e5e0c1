"""A button that puts the address of the page on the clipboard: the page keeps in it what it shows."""

from __future__ import annotations

from typing import Any

import streamlit as st

_JS = """
export default function ({ parentElement }) {
  const button = parentElement.querySelector("button")
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(location.href)
    } catch {
      // Without a secure origin there is no clipboard for scripts; a selected field still has one.
      const field = document.createElement("textarea")
      field.value = location.href
      document.body.append(field)
      field.select()
      document.execCommand("copy")
      field.remove()
      button.focus()
    }
    const words = button.lastElementChild
    words.textContent = "Copied"
    setTimeout(() => (words.textContent = "Copy link"), 1600)
  }
}
"""
_HTML = """
<button type="button" class="cs-act" title="The address shows the same to everybody who may see the collection">
  <span class="cs-icon" aria-hidden="true">link</span><span aria-live="polite">Copy link</span>
</button>
"""


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component("corpuscope_copy_link", html=_HTML, js=_JS, isolate_styles=False)


def copy_link(key: str) -> None:
    """Draw it under this key."""
    _component()(key=key, height="content", width="content")
