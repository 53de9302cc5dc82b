"""The Faust programs: they decode, call the scorer, send, and acknowledge."""
