"""Evaluating, calibrating and comparing models on labelled pictures."""
