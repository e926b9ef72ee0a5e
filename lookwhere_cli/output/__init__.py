"""Rows and their writers, arrays of features, masks, and atomic files."""
