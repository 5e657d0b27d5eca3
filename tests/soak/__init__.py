"""Faults, kills and long runs: short versions in the everyday tests, long ones by `make soak`."""
