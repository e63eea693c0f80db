"""Blocks: cutting content into them, and the store that they can be read from.

``chunking`` cuts; ``store`` keeps and reads, checking every block by its hash; ``packs`` are the files of
blocks that the store owns; ``compression`` decides what is worth compressing in them.
"""
