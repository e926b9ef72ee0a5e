"""Pipelines on labelled pictures: who chooses the cells, what the answers score, what they cost."""
