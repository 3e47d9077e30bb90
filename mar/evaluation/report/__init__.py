"""One self-contained page about several runs: what they reached, what it cost, and what their agents said."""
