"""One module per command: `configure` adds its arguments, `run` does it and returns the exit code."""
