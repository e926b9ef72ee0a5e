"""From paths to pixels: find pictures, open them as sources, read thumbnails and patches. NumPy and Pillow, no torch."""
