"""HTTP routes: decode, ask who is calling, call one use case, answer."""
