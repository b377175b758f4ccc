Mail for a bucket that does not answer waits in another one, is filed as soon as it can be, and once; `jindictl queue list|show|retry|remove`.
POP3's lock holds in the whole array: a dead node's is free, and a holder that wakes deletes nothing. Failed logins, and the sessions of a user who has many, count at all nodes. `sessions-per-user`, `failed-logins` and `refused-recipients` in node.ini.
