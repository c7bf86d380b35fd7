"""The clients that are compared, a module for each."""
