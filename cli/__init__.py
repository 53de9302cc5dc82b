"""``sluice ...``: the only package that knows all programs."""

from telemetry.compiled import choose_form

choose_form()  # before any program imports the scoring modules
