"""Learners: what the trainer and the back-test feed, and what they freeze into snapshots."""
