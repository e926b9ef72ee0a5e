"""From paths to pixels: find files, decode, thumbnail, patches, read-ahead. NumPy and Pillow, no torch."""
