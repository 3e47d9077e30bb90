"""What other policies would have been worth on requests that one policy served, from what it drew and why.

`table` is a log as arrays, `expected` predicts what was not drawn, `plain` are the estimators of textbooks with normal
intervals, `strata` the one that is used, whose intervals hold where few requests say anything, and `policies` puts them
to work: quality, cost, seconds and utility of policies, and of one policy less another.
"""
