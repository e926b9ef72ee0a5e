"""From a picture's classes to files that other tools read: indexed PNGs, COCO's run lengths, GeoJSON's polygons."""
