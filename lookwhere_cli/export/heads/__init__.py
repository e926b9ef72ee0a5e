"""Each task's part of the exported graphs."""
