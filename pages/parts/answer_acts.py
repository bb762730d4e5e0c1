"""The rows of small buttons under questions and answers, and what a click on one of them says.

They are HTML, so that a long conversation stays light; one component listens for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import streamlit as st

_KEY = "answer_acts"
#: Where the latest click waits for the run that it leads to.
CLICKED = "answer_clicked"
ACTS = ("again", "up", "down", "why", "edit", "delete", "flip", "good", "bad")


class Click(NamedTuple):
    """What was asked for (one of :data:`ACTS`), at which message, and a branch or the number of a passage with it."""

    act: str
    message: UUID
    to: str | None = None


@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "corpuscope_answer_acts",
        html="<span hidden></span>\n",
        js=Path(__file__).with_name("answer_acts.js").read_text(),
        isolate_styles=False,
    )


def listen() -> None:
    """Have clicks within the container ``chat-thread`` run the page again; :func:`last_click` says what they were."""
    with st.container(key="answer-acts", height="content"):
        _component()(key=_KEY, on_act_change=_note, height="content")


def _note() -> None:
    st.session_state[CLICKED] = read_click(st.session_state.get(_KEY, {}).get("act"))


def last_click() -> Click | None:
    """The click that led to this run, once."""
    click: Click | None = st.session_state.pop(CLICKED, None)
    return click


def read_click(value: object) -> Click | None:
    """What the browser sent, None where it can't be meant."""
    if not isinstance(value, dict):
        return None
    act, message, to = value.get("act"), value.get("message"), value.get("to")
    if act not in ACTS or not isinstance(message, str) or not isinstance(to, str | None):
        return None
    try:
        return Click(act, UUID(message), to)
    except ValueError:
        return None


def act_button(
    act: str,
    message: UUID,
    icon: str,
    label: str,
    *,
    to: str | None = None,
    pressed: bool | None = None,
    count: int = 0,
    refusal: str = "",
) -> str:
    """One button as HTML. ``label`` is its name and its tooltip; with a ``refusal`` it is off and says why.

    ``pressed`` is None for what isn't switched on and off; ``count`` stands beside the icon where it isn't 0.
    """
    data = f'data-act="{act}" data-message="{message}"' + (f' data-to="{escape(to)}"' if to is not None else "")
    state = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    off = ' aria-disabled="true"' if refusal else ""
    number = f'<span aria-hidden="true">{count:,}</span>' if count else ""
    return (
        f'<button type="button" class="cs-act cs-icon-act" {data}{state}{off}'
        f' aria-label="{escape(label)}" title="{escape(refusal or label)}">'
        f'<span class="cs-icon" aria-hidden="true">{icon}</span>{number}</button>'
    )


def copy_button(message: UUID, text: str, label: str) -> str:
    """Puts ``text`` on the clipboard, without the page being run."""
    return (
        f'<button type="button" class="cs-act cs-icon-act" data-act="copy" data-message="{message}"'
        f' data-copy="{escape(text)}" aria-label="{escape(label)}" title="{escape(label)}">'
        '<span class="cs-icon" aria-hidden="true">content_copy</span></button>'
    )


def act_row(buttons: Sequence[str], name: str) -> None:
    """Draw them in one row; ``name`` is what a screen reader calls it."""
    shown = "".join(button for button in buttons if button)
    if shown:
        st.html(f'<div class="cs-answer-acts" role="group" aria-label="{escape(name)}">{shown}</div>')


def dispatch(click: Click | None, deeds: dict[str, Callable[[Click], None]]) -> None:
    """Do what the click says, where there is something to do."""
    if click is not None and (deed := deeds.get(click.act)) is not None:
        deed(click)
