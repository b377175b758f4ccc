"""jindimail: a clustered, highly available mail server."""
