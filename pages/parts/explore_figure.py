"""The map as a figure that leaves the page: Plotly in one HTML file. A picture of what one sees is the map's own."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import psycopg
import streamlit as st

from pages.parts.downloads import file_name, handing_out
from pages.parts.explore_colours import Colouring, Entry, Places
from pages.parts.explore_desk import Desk
from pages.parts.explore_palette import OWN
from rag.mapping.channels import read_positions

#: Points of a figure: more make a file that hardly opens.
MOST_POINTS = 60_000
_INK, _QUIET = "#1b2430", "#5d6b7c"


def download_figure(desk: Desk, colouring: Colouring, places: Places) -> None:
    """The button, and how to get the picture."""
    st.markdown("**Download figure**")
    st.caption("What is shown, with the colours and the legend of now; to zoom in and to point at.", width=260)
    map_id, title = desk.map.id, desk.collection.name

    def make(conn: psycopg.Connection[Any]) -> bytes:
        shown = _thin(places)
        return figure_html(title, colouring, shown, read_positions(conn, map_id)[shown])

    st.download_button(
        "Plotly (HTML)",
        handing_out(desk.collection.id, "a figure of the map", make),
        file_name=file_name(desk.collection.name, "map", extension="html"),
        mime="text/html",
        icon=":material/scatter_plot:",
        on_click="ignore",
        key="explore_html",
        width="stretch",
    )
    st.caption("A picture (PNG) of what you see: the camera in the corner of the map.", width=260)


def _thin(places: Places) -> Places:
    """Every so manieth where there are too many."""
    return places[:: max(1, -(-len(places) // MOST_POINTS))]


def figure_html(title: str, colouring: Colouring, places: Places, xy: np.ndarray[Any, Any]) -> bytes:
    """The figure; ``xy`` [n, 2] are the positions of ``places``, in map units. It holds no text of any document."""
    import plotly.graph_objects as go

    numbers = colouring.numbers[places]
    figure = go.Figure()
    for entry in colouring.entries or [Entry(0, "Passages", 0, OWN[0])]:
        of_it = xy[numbers == entry.number]
        figure.add_scattergl(
            x=of_it[:, 0],
            y=of_it[:, 1],
            mode="markers",
            name=f"{escape(entry.label)} ({len(of_it):,})",
            marker={"color": entry.colour.light, "size": 4 if len(places) > 5000 else 6, "opacity": 0.75},
            hoverinfo="name",
        )
    for label in colouring.labels:
        figure.add_annotation(x=label.x, y=label.y, text=escape(label.text), showarrow=False, font={"size": 12})
    hidden = {"visible": False, "range": [-1500, 67_000]}
    figure.update_layout(
        title={"text": escape(title), "font": {"color": _INK}},
        template="plotly_white",
        xaxis=hidden,
        yaxis=hidden | {"scaleanchor": "x"},
        legend={"itemsizing": "constant", "font": {"color": _QUIET}},
        margin={"l": 20, "r": 20, "t": 60, "b": 20},
    )
    return str(figure.to_html(include_plotlyjs=True, full_html=True)).encode()
