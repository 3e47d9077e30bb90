"""What a gateway keeps in a database beside limits: keys, what came of requests, and what was said of answers."""
