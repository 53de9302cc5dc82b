"""Accounts, amounts and transfers."""
