"""What `lookwhere bench` measures, a file per subject."""
