"""Tests of jindimail.queue."""
