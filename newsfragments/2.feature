One node, end to end: SMTP, submission, LMTP, POP3 and IMAP4 on durable, replicated storage; `make run`, `jindictl`, the manhole, backup and check.
