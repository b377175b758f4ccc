"""Pure reading of messages: MIME structure, headers, dates."""
