"""From paths to pixels: find pictures, open sources, read thumbnails and patches; NumPy and Pillow, no torch."""
