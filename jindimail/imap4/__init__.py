"""The IMAP4 edge."""
