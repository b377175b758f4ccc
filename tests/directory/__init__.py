"""Tests of users, domains, aliases and authentication."""
