"""Administration: control socket, jindictl, manhole, certificates."""
