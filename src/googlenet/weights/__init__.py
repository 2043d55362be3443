"""Third-party weight files: detected, read, renamed to ours, with what their numbers mean.

    detect ── {caffe, tensorflow, onnx, torch_file, safetensors_file} ── WeightFile
    WeightFile + schemes (names, classes) ── convert ── a header and tensors
    registry ── download

docs/weights.md says what each format means and what was verified against what.
"""
