"""Real arrays in trouble: whole processes, real networks, real clients, and those who judge what they see."""
