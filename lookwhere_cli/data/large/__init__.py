"""Labels of slides and rasters, drawn in GeoJSON, cut into windows."""
