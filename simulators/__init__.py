"""Fake banks, a closed-loop world of customers and crooks, and the replay of files."""

from telemetry.compiled import choose_form

choose_form()  # before any module imports the scoring modules
