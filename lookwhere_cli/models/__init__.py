"""The adaptive models, in pure torch: no files, no pictures, no printing."""
