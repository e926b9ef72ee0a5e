"""The authors' published files of weights, converted to our layout."""
