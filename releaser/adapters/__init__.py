"""The outside, one file per ecosystem."""
