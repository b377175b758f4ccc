"""What the server promises: accept, route, file."""
