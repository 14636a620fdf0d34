"""A deterministic simulation of releases: the engine unchanged, a world in memory, virtual time, and every fault.

``python -m tests.simulation --help``. A seed is a story (`story`), a story is played (`play`), and what it left behind
is judged by an oracle that knows nothing of the engine (`oracle`).
"""
