"""A page with nothing but a map, for tests and measurements: `streamlit run tests/browser/map_stage.py`.

The address says which ``map``, checkboxes what else is on it, and a line of JSON below what was done.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent)]

import streamlit as st  # noqa: E402
from streamlit.runtime.pages_manager import PagesManager  # noqa: E402
from streamlit.runtime.scriptrunner import get_script_run_ctx  # noqa: E402

PALETTE = ["#2a78d6", "#eb6834", "#1baf7a", "#eda100", "#e87ba4", "#008300", "#4a3aa7", "#e34948"]


def stage() -> None:
    """Draw the map of the address."""
    from pages.parts.map_view import Colours, Label, Mark, channel_address, map_view

    st.set_page_config(layout="wide")
    map_id = int(st.query_params["map"])
    version = st.query_params.get("version", "1")
    tools = st.columns(6)
    by_channel = tools[0].checkbox("channel")
    dim = channel_address(map_id, "text", {"text": "needle"}) if tools[1].checkbox("dim") else None
    contours = tools[2].checkbox("contours")
    hidden = [0] if tools[3].checkbox("hide") else []
    with_marks = tools[4].checkbox("marks")
    colours = Colours(
        by="channel" if by_channel else "leaf",
        channel=channel_address(map_id, "excluded") if by_channel else None,
        table=[] if by_channel else [leaf % len(PALETTE) for leaf in range(1000)],
        palette_light=PALETTE,
        palette_dark=PALETTE,
        hidden=hidden,
    )
    labels = [Label(10_000 + 9_000 * n, 12_000 + 7_500 * n, f"cluster {n}", 100 - n) for n in range(6)]
    marks = [
        Mark(32_000, 40_000, "star"),
        *(Mark(20_000 + 4_500 * n, 34_000 + 900 * n, "hit", str(n + 1), n) for n in range(4)),
        Mark(42_000, 36_000, "cut", "5", 4),
        Mark(46_000, 33_000, "cited", "6", 5),
        Mark(14_000, 44_000, "missed"),
        Mark(18_000, 47_000, "found"),
    ]
    state = map_view(
        "stage",
        map_id=map_id,
        version=version,
        colours=colours,
        labels=labels,
        marks=marks if with_marks else [],
        dim=dim,
        contours=contours,
        table_twin="twin",
    )
    said = {"view": state.view, "polygon": state.polygon, "clicked": state.clicked}
    st.code(json.dumps(said), language=None)
    with st.container(key="twin"):
        st.write("The same as a table.")


if get_script_run_ctx(suppress_warning=True) is not None:
    stage()
else:
    from pages.parts.guard import data_routes

    PagesManager.uses_pages_directory = False
    app = st.App(__file__, routes=data_routes())
