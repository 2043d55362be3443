"""All fifty original images through every scheme of views, in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from googlenet.data.csv_file import read_csv
from googlenet.data.labels import Class
from tests.fixtures import set_header, tiny_classifier

# 144 views of one image at 224 pixels are 22 MB; the fifty images would be more than a gigabyte.
ALLOWED = 400  # MB beyond what one view takes

SCORED = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from googlenet import Classifier
from googlenet.data.csv_file import read_csv
from googlenet.evaluation.accuracy import score
from tests.memory import peak_memory
classifier = Classifier.load(sys.argv[1])
samples = read_csv(Path(sys.argv[2]), 0, classifier.classes).all
peak, photos = [], []
for views in (1, 10, 144):
    found = score(classifier, samples, views)
    photos.append((len(found), len(found.unreadable), float(found.probabilities.sum())))
    peak.append(peak_memory())
print(json.dumps({"peak": peak, "photos": photos}))
"""


@pytest.mark.slow
def test_every_image_in_every_view_in_bounded_memory(shared_data: Path, tmp_path: Path) -> None:
    labels = shared_data / "ilsvrc2012-val-50-original" / "labels.csv"
    classifier = tiny_classifier(classes=1000, size=224)
    set_header(classifier, classes=tuple(Class(f"n{i:04}", f"class {i}") for i in range(1000)))
    model = tmp_path / "m.safetensors"
    classifier.save(model)
    assert len(read_csv(labels, 0, classifier.classes).all) == 50
    command = [sys.executable, "-c", SCORED, str(model), str(labels)]
    repository = Path(__file__).resolve().parents[2]
    run = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    for read, bad, total in found["photos"]:
        assert (read, bad) == (50, 0)
        assert total == pytest.approx(50, abs=1e-3)
    one, ten, all_of_them = found["peak"]
    assert ten < one + ALLOWED
    assert all_of_them < one + ALLOWED
