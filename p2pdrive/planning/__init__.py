"""Decisions as pure functions: what to show, what to publish, who wins, which block from whom."""
