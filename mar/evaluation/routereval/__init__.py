"""RouterEval: how well a router picks one of m LLMs whose answers are known (arXiv 2503.10657), and tables to measure on.

The routers themselves are controllers (`mar.controllers.routers`); this package only measures them.
"""
