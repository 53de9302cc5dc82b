"""``sluice ...``: the only package that knows all programs."""
