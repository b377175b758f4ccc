"""One module per IMAP command."""
