"""One file per command: options, calls, printing."""
