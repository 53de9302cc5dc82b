"""What may be done about it: orders, policy, audit."""
