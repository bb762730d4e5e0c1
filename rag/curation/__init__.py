"""Curating a corpus: selections on a map, acts on what is selected, their log, and the trash."""
