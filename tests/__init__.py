"""What is tested is the form that runs: compiled where that is current."""

from telemetry.compiled import choose_form

choose_form()
