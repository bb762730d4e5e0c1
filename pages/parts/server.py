"""What `streamlit run` serves: app.py, with the pages of the sign-in beside it and the gate in front of both."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Streamlit puts this file's folder first; its modules (`markdown`, `process`…) would hide other packages' names.
_HERE = (ROOT, ROOT / "pages" / "parts")
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry or ".").resolve() not in _HERE)]

import streamlit as st  # noqa: E402
from streamlit.runtime.pages_manager import PagesManager  # noqa: E402

from pages.parts.guard import data_routes, middleware, provider_secrets, routes  # noqa: E402

# Or else, until app.py has called st.navigation once in this process, files in pages/ run by themselves without it: in
# the tabs that come back first after a restart, among others. Where this is overlooked, require_user() still holds.
PagesManager.uses_pages_directory = False

app = st.App(ROOT / "app.py", routes=[*routes(), *data_routes()], middleware=middleware(), secrets=provider_secrets())
