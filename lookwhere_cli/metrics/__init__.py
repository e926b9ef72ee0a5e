"""Scores of a model on labelled pictures, with their intervals."""
