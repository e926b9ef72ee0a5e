"""Multiply-adds by part, without torch."""
