"""RouterEval (arXiv 2503.10657): how well a router picks one of m LLMs whose answers are known, and tables of those.

The routers themselves are controllers (`mar.controllers.routers`); this package only measures them.
"""
