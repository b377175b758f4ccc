Mail for a bucket that does not answer waits in another one, is filed as soon as it can be, and once; `jindictl queue list|show|retry|remove`.
