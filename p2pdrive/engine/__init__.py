"""One drive at work: observe, record, exchange, fetch, materialise."""
