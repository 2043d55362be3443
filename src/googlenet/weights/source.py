"""From a path or a known name to a classifier: what `Classifier.load` and `convert` call."""

from __future__ import annotations

from pathlib import Path

from googlenet.inference.classifier import Classifier
from googlenet.inference.model_file import is_model_file
from googlenet.runtime.errors import GoogLeNetError
from googlenet.runtime.files import file_digest
from googlenet.weights.caffe_named import HEADER
from googlenet.weights.convert import Report, convert
from googlenet.weights.detect import read_weight_file
from googlenet.weights.provenance import fingerprint, known_by, provenance
from googlenet.weights.registry import KNOWN, no_such_file
from googlenet.weights.weight_file import WeightFile, WeightFileError


def load_foreign(source: str | Path) -> Classifier:
    """The classifier in somebody else's weight file, or in a known one that is named.

    Raises UsageError where there is no such file, GoogLeNetError in one sentence for a file
    that cannot be used or not be had.
    """
    return convert_source(source)[0]


def convert_source(source: str | Path) -> tuple[Classifier, Report]:
    """The classifier in a weight file of any kind, ours too, and the account of its tensors."""
    path = locate(source)
    if is_model_file(path):
        classifier = Classifier.load(path)
        kept = {name: name for name in classifier.network.state_dict()}
        return classifier, Report("model file", "googlenet", classifier.variant, kept)
    file = read_weight_file(path)
    try:
        classifier, report = convert(file)
    except GoogLeNetError as error:
        raise WeightFileError(f"{path}: {error}") from error
    if HEADER not in file.metadata:
        describe(classifier, report, path, file)
    return classifier, report


def locate(source: str | Path) -> Path:
    """The file that is meant: a path that exists, or a known name, downloaded when needed."""
    path = Path(source)
    if path.is_file():
        return path
    if str(source) in KNOWN:
        from googlenet.weights.download import fetch

        return fetch(KNOWN[str(source)])
    raise no_such_file("MODEL", source)


def describe(classifier: Classifier, report: Report, path: Path, file: WeightFile) -> None:
    """Put provenance and licence into the classifier."""
    digest = file_digest(path)
    known = known_by(digest, fingerprint(classifier.network))
    classifier.provenance = provenance(path, digest, report.scheme, known)
    if report.untrained_heads:
        classifier.provenance["untrained_heads"] = report.untrained_heads
    stated = file.metadata.get("licence") or file.metadata.get("license")
    classifier.licence = known.licence if known else stated
