"""Account: who you are here, your password, sessions and limits, what is shared with you, and what you did."""

from __future__ import annotations

import streamlit as st

from pages.parts.activity_log import show_own_activity
from pages.parts.confirmation import show_refusal
from pages.parts.guard import is_guarded
from pages.parts.guests import guest_note
from pages.parts.notices import show_notices
from pages.parts.one_person import describe_one_person
from pages.parts.own_account import my_sessions, show_identity, show_password, show_sessions
from pages.parts.own_share import show_shared, show_usage
from pages.parts.session import require_database, require_user

require_user()
require_database()
is_guest = require_user().is_guest
with st.container(horizontal=True, vertical_alignment="center", key="page-header"):
    st.title("Account", anchor=False)
show_notices()
show_refusal()
if not is_guarded():
    describe_one_person()
elif is_guest:
    guest_note()
else:
    sessions = my_sessions()
    with st.grid(2, min_column_width=320):
        with st.container():
            show_identity()
            show_usage()
        show_password(sum(not session.is_this for session in sessions))
    show_sessions(sessions)
if not is_guarded() or is_guest:
    show_usage()
if not is_guest:
    if is_guarded():
        show_shared()
    st.subheader("What you did", anchor=False)
    show_own_activity()
