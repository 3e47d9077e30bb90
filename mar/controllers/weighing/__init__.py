"""Which recorded answer is right, and which model to ask next, learned from tables of answers with known results.

`options` turns a table of choices into observations, with what `wording` and `skills` add to them; `aggregator` weighs
them, `asking` decides whose answer is worth its price, `certainty` corrects the chance that is stated; `answered` is
all of this as a router's class in RouterEval. `programs` does the same for programs, by their shown test. The
controller of episodes, which cannot know such tables, is `mar.controllers.sequential`.
"""
