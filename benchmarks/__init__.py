"""Measurements of xraygpt-edge beside what a user would take instead; `python -m benchmarks --help`."""
