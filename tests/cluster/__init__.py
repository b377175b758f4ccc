"""Tests of jindimail.cluster."""
