"""Support that several kinds of tests share: starting nodes, raw clients, packages."""
