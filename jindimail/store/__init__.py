"""The LMDB store of a node."""
