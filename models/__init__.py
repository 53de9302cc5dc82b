"""Models of the money, of the risk in it, and of the control over it.

Pure: no Kafka, HTTP, SQL, clock or randomness in here. Imports run one way,
``wire -> control -> risk -> money``; import-linter keeps it so.
"""
