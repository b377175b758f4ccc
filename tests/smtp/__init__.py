"""Tests of the SMTP, submission and LMTP edge."""
