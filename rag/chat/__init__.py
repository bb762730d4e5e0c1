"""Conversations: questions, streamed answers with or without a model, and their citations."""
