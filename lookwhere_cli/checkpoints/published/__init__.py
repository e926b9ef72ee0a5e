"""The authors' published files, read into our layout."""
