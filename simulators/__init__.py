"""Fake banks, a closed-loop world of customers and crooks, and the replay of files."""
