"""The points of a map alone on a page, as the component draws them or as Plotly does: for bench_explore."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).parent)]

import streamlit as st  # noqa: E402
from streamlit.runtime.pages_manager import PagesManager  # noqa: E402
from streamlit.runtime.scriptrunner import get_script_run_ctx  # noqa: E402

PALETTE = ["#2a78d6", "#eb6834", "#1baf7a", "#eda100", "#e87ba4", "#008300", "#4a3aa7", "#e34948"]


def draw_map(map_id: int) -> None:
    """With a checkbox for another colouring, and one that highlights."""
    from pages.parts.map_view import Colours, channel_address, map_view

    turn = 3 if st.checkbox("recolour") else 0
    dim = channel_address(map_id, "excluded") if st.checkbox("highlight") else None
    table = [(leaf + turn) % len(PALETTE) for leaf in range(100)]
    colours = Colours(table=table, palette_light=PALETTE, palette_dark=PALETTE)
    state = map_view("map", map_id=map_id, version=1, colours=colours, dim=dim)
    st.text(f"polygon from {state.polygon[0]}" if state.polygon else "no polygon")


def draw_plotly(map_id: int) -> None:
    """The same points as the figure that a page would make without the component."""
    import numpy as np
    import plotly.graph_objects as go

    from pages.parts.product import product
    from rag.auth.identity import LOCAL_IDENTITY
    from rag.mapping.payload import encode_points

    database = product().database
    if database is None:
        st.rerun()
    with database.as_user(LOCAL_IDENTITY.claims, limit_s=60) as conn:
        payload = encode_points(conn, map_id)
    header = 12 + int.from_bytes(payload[8:12], "little")
    x, y, leaf, _ = np.frombuffer(payload, "<u2", offset=header).reshape(4, -1)
    marker = {"size": 3, "color": leaf % len(PALETTE), "colorscale": PALETTE}
    figure = go.Figure(go.Scattergl(x=x, y=y, mode="markers", marker=marker))
    figure.update_layout(dragmode="lasso")
    event = st.plotly_chart(figure, on_select="rerun", selection_mode="lasso", key="figure", height=620)
    st.text(f"selected {len(event['selection']['points'])}")


def main() -> None:
    """What the address asks for: ``map``, and ``as=plotly``."""
    st.set_page_config(layout="wide")
    draw = draw_plotly if st.query_params.get("as") == "plotly" else draw_map
    draw(int(st.query_params["map"]))


if get_script_run_ctx(suppress_warning=True) is not None:
    main()
else:
    from pages.parts.guard import data_routes
    from pages.parts.product import product

    product()
    PagesManager.uses_pages_directory = False
    app = st.App(__file__, routes=data_routes())
