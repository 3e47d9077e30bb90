"""Routing with generated data (arXiv 2601.09692): questions, answers and filters, from any pool."""
