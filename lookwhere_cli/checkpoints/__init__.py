"""From a model's name to a folder, and from a folder to a model."""
