"""Measures Sluice on one machine; ``sluice bench`` runs it (see docs/performance.md)."""
