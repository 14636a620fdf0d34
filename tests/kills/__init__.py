"""Real processes killed at any moment, and racing one another, in the rehearsal world: a campaign and its replay.

``python -m tests.kills --help`` says how to run it.
"""
