"""Who we are and who they are: device identity, invites, the handshake and the sealed session."""
