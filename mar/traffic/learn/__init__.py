"""What `mar learn` does: from a log to a candidate.

`candidates` are what can be learned from a log, `compared` says what they would have been worth on requests of people
they did not learn from, `verdict` what of that the log can tell, `run` does it all.
"""
