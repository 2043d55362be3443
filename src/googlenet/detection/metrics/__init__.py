"""How good detections are: average precision by the rules of VOC, ILSVRC, and COCO."""
