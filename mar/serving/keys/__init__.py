"""Virtual keys: what a key is, how a worker knows them, who is let in by them."""
