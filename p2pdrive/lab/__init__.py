"""The same production code in a simulated world, and on real hosts in network namespaces."""
