"""Logging, metrics and the clock every program shares."""
