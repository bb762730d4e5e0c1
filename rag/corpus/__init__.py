"""Collections, documents, their texts and marks: SQL on those tables, ``conn`` passed in."""
