"""What durable delivery and POP3 drain cost, for this node and, in the same run, for Postfix + Dovecot."""
