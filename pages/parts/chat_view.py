"""What one run of the chat page shows of a conversation, read once."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from pages.parts.chat_profile import Choice, Profiles, label
from rag.chat.chat_records import Chat, Message
from rag.chat.votes import Vote
from rag.records import Collection


@dataclass(frozen=True)
class ChatView:
    """``messages`` are those of all branches, ``shown`` is the branch on the page."""

    collection: Collection
    chat: Chat
    messages: list[Message]
    shown: list[Message]
    votes: list[Vote]
    profiles: Profiles
    choice: Choice
    me: UUID

    def find(self, message_id: UUID) -> Message | None:
        """A message of any branch."""
        return next((message for message in self.messages if message.id == message_id), None)

    def question_of(self, answer: Message) -> Message | None:
        """What the answer answers."""
        return self.find(answer.parent_id) if answer.parent_id is not None else None

    def vote_of_mine(self, message_id: UUID) -> Vote | None:
        """One's own vote on an answer."""
        return next((vote for vote in self.votes if vote.mine and vote.message_id == message_id), None)

    def votes_on(self, message_id: UUID, value: int) -> int:
        """How many voted so."""
        return sum(vote.message_id == message_id and vote.vote == value for vote in self.votes)

    def describe_choice(self) -> str:
        """What the next answer is made with, in a few words."""
        profile = label(self.choice.profile or self.profiles.default)
        return ", ".join([profile, *([self.choice.model] if self.choice.model else [])])
