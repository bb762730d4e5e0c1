"""The database: the embedded server, its schema, and connections as somebody."""
