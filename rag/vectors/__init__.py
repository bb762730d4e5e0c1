"""Embedding models: where they are, how they run, and what they say of text."""
