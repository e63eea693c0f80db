"""The log in SQLite: append, ingest, verify, membership."""
