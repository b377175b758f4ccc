"""Users, domains, aliases and authentication."""
