"""The realm: accounts, mailboxes and the state machine that keeps them."""
