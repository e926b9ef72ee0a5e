"""Boxes as files that other tools, and training, read: COCO, GeoJSON, CSV, YOLO, Pascal VOC."""
