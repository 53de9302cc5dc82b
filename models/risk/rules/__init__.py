"""The rule book: small pure functions over the features, with words for what fired."""
