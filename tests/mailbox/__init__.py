"""Tests of jindimail.mailbox."""
