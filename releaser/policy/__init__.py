"""The gates: pure rules over facts."""
