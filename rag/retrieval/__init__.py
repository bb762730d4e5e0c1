"""Searching a collection under a profile, and measuring what a search finds."""
