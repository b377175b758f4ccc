"""Tests of the IMAP4 edge."""
