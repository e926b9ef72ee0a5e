"""GeoJSON and tiled masks of pictures that are read by windows, in the coordinates of slides and of maps."""
