"""Tests of what POP3 and IMAP4 share."""
