"""What computes a network's outputs: PyTorch, ONNX Runtime or OpenVINO, behind `base.Backend`."""
