"""A static site that shows every unit, class and image of a model: `googlenet microscope`."""
