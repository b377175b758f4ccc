"""The buckets of the array, wherever their replicas are."""
