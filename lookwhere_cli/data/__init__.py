"""Labelled sets: reading, checking and splitting them. Nothing here imports torch."""
