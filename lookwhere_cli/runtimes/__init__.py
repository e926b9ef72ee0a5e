"""What computes a model's answers: a protocol over NumPy arrays, and torch behind it."""
