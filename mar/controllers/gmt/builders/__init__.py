"""Builders of the four named data sets: from raw votes or recorded outcomes to groups of conversations."""
