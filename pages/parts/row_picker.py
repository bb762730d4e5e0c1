"""A table of which one row is picked; which one, is in the address."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pandas as pd
import streamlit as st

from pages.parts.addresses import read_uuid


def pick_row(
    rows: Sequence[dict[str, Any]], ids: Sequence[UUID], *, parameter: str, columns: dict[str, Any], alt: str
) -> UUID | None:
    """Draw ``rows``, whose ids are ``ids``, and return which one the address names as ``parameter``.

    The key holds which rows are shown: a selection is by row number and must not move to another row.
    """
    key = f"{parameter}-{zlib.crc32(b''.join(one.bytes for one in ids))}"
    current = read_uuid(parameter)
    st.dataframe(
        pd.DataFrame(rows),
        key=key,
        on_select=lambda: _remember(key, ids, parameter),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(current)]}} if current in ids else None,
        hide_index=True,
        placeholder="never",
        row_height=35,
        height=34 + 35 * min(max(len(rows), 1), 10),
        column_config=columns,
        alt=alt,
    )
    return current if current in ids else None


def _remember(key: str, ids: Sequence[UUID], parameter: str) -> None:
    picked = [row for row in st.session_state[key].selection.rows if row < len(ids)]
    if picked:
        st.query_params[parameter] = str(ids[picked[0]])
    else:
        st.query_params.pop(parameter, None)
