"""The drive's state on disk: one SQLite file, and what was last materialised."""
