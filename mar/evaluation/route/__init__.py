"""From one's own questions and models to cheaper answers: what `mar route` does.

`calls` is what every model said about every row, and what that was worth and cost; `asking` makes it, `agreement`
grades it where nobody else does. `kinds` are the controllers that are learned from it, `play` runs them on it,
`validation` tests them on rows that they were not learned from, `verdict` says what that means, `run` does it all.
"""
