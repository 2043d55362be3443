"""Readers and writers of box annotations: Pascal VOC, COCO, YOLO, CSV."""
