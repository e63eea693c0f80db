"""Between nodes: listening, dialling, the link over a connection, finding others on the network."""
