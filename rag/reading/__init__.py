"""A file becomes text: what it is, in which encoding, how far it may unpack, read by the reader of its format."""
