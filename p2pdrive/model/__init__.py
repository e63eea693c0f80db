"""The values: record, version vector, heads, manifest, hybrid clock, portable paths, problems."""
