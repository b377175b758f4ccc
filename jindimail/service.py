"""The composition root: the only place that knows the real reactor."""
