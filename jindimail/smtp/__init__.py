"""The SMTP, submission and LMTP edge."""
