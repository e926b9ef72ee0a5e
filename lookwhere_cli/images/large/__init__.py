"""Pictures that are never decoded whole: slides and rasters, read by windows from the level that is fine enough."""
