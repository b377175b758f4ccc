"""Tests of the POP3 edge."""
