"""The error of every program whose settings are wrong."""

from __future__ import annotations


class Misconfigured(ValueError):
    """The settings contradict each other, or name what is not there; says which, and never a secret."""


def cannot_serve(host: str, port: int, error: OSError) -> str:
    """Return why a program cannot listen where its settings say.

    >>> cannot_serve("127.0.0.1", 8080, OSError(98, "Address already in use"))
    'cannot serve on 127.0.0.1:8080: Address already in use'
    """
    return f"cannot serve on {host}:{port}: {error.strerror or error}"
