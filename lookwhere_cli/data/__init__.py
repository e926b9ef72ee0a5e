"""Labelled data: reading, checking and splitting it."""
