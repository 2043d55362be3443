"""From an image to a prediction: header, model file, calibration, engines."""
