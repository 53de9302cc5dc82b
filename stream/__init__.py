"""The Faust programs: they decode, call the scorer, send, and acknowledge."""

from telemetry.compiled import choose_form

choose_form()  # before any module imports the scoring modules
