"""The model in a process that may die."""
