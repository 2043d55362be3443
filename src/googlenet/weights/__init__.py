"""Other people's weight files: recognised, read, named as ours, with what their numbers mean.

    recognise ── {caffe, tensorflow, onnx, torch_file, safetensors_file} ── read
    read + schemes (names, classes) ── convert ── Classifier
    known ── download

docs/weights.md says what each format means and what was verified against what.
"""
