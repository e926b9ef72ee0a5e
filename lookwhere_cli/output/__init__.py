"""What comes out: rows and their formats, arrays, masks, and files that are written whole or not at all."""
