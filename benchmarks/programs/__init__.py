"""Collections of programs for `benchmarks/program_reading.py`."""
