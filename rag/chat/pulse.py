"""Whether a conversation looks as it did: one cheap look for pages that were told that something has changed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg import Connection


def read_pulse(conn: Connection[Any], chat_id: UUID) -> tuple[Any, ...] | None:
    """A value that differs whenever something of the chat does that its page shows beside the text of growing answers.

    That is its title, what it asks, who takes part, which messages there are and in which state, which of them are
    checked, and votes. None for a chat that the person doesn't see (any more).
    """
    return conn.execute(
        """
        select c.title, c.scope_id, c.updated_at,
            (select array_agg(m.user_id order by m.user_id) from public.chat_members m where m.chat_id = c.id),
            (select array_agg(x.collection_id order by x.collection_id) from public.chat_collections x
             where x.chat_id = c.id and x.is_asked),
            (select array_agg((m.id, m.phase in ('complete', 'failed', 'stopped'), m.stop_requested) order by m.id)
                ::text from public.messages m where m.chat_id = c.id),
            (select array_agg((v.message_id, v.user_id, v.vote, v.reason) order by v.message_id, v.user_id)::text
             from public.message_votes v join public.messages m on m.id = v.message_id where m.chat_id = c.id),
            (select count(*) from public.message_support s join public.messages m on m.id = s.message_id
             where m.chat_id = c.id and s.ordinal = 1)
        from public.chats c where c.id = %s
        """,
        [chat_id],
    ).fetchone()
