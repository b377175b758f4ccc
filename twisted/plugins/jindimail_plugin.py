"""The plugin that makes `twistd jindimail`."""

from twisted.application.service import ServiceMaker

jindimail = ServiceMaker(
    "jindimail", "jindimail.service", "A mail server: SMTP, LMTP, POP3 and IMAP4", "jindimail"
)
