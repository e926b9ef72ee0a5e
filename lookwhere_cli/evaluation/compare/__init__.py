"""Comparing several methods on the same labelled pictures."""
