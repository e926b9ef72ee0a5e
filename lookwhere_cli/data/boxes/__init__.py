"""Boxes with classes, as annotation tools export them: CSV, COCO, YOLO, Pascal VOC, Label Studio."""
