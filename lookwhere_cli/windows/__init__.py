"""Large pictures window by window: every window is a picture of its own, with its own thumbnail and its own cells."""
