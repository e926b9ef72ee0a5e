"""Scores of answers against the truth, with their confidence intervals. Knows arrays only: no models, no files."""
