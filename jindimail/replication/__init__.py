"""Replicated groups: one log and one state machine a bucket."""
