"""Tests of accepting, routing and filing mail."""
