"""One running p2pdrive: the nursery tree, its home on disk, and its status."""
