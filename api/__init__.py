"""The FastAPI program: banks post transfers, people confirm, orders reach the banks."""

from telemetry.compiled import choose_form

choose_form()  # before any module imports the scoring modules
