"""The corpus as a map: made by a worker, clustered, named, looked at."""
