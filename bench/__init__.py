"""Measures Sluice on one machine; ``sluice bench`` runs it (see docs/performance.md)."""

from telemetry.compiled import choose_form

choose_form()  # before a part imports the scoring modules
