"""How likely a transfer is stolen money, and why."""
