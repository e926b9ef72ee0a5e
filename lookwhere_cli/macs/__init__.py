"""Multiply-adds by part, counted without torch."""
