"""The queue and the worker: claim, parse, chunk, embed, answer."""
