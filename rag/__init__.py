"""Corpuscope's library: from files to searchable, cited, streamed answers on one Postgres."""

__version__ = "0.1.0"
