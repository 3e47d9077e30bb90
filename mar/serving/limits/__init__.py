"""Limits that hold over all workers of a gateway: counters in a store, changed atomically; see `base`."""
