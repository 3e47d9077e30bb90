"""Tests of preference routers: splits without leaks, simple baselines, tables, and users whose tastes drift."""
