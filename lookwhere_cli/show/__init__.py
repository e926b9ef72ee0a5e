"""Rows and pixels in, something to look at out."""
