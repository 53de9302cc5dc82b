"""What tests and doctests of every package need before they are collected."""

import os

import tests  # noqa: F401 - chooses the form of scoring that is tested

os.environ["PY_IGNORE_IMPORTMISMATCH"] = "1"  # for pytest: a doctest's module may be the compiled form of its file
