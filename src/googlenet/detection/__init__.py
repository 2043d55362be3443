"""Objects in images: boxes, proposals, and the network as their classifier (section 8)."""
