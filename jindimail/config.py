"""The configuration of a node: `node.ini` into frozen dataclasses."""
