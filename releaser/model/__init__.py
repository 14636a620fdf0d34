"""The release as values: versions, policy, artifacts, facts, manifest, plan. Nothing here does I/O."""
