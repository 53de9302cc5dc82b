"""Use cases: what a request, a record or a clock does to orders, lists and verdicts."""
