#!/usr/bin/env bash
# The environments in which other people's programs run: one each, for they do not fit together.
# Versions are pinned whole (--no-deps); pip's own environment variables are honoured.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=$here/../../.venv-oracles
for name in opencv tensorflow onnx torchvision; do
    wanted=$here/requirements-$name.txt
    environment=$target/$name
    cmp --silent "$wanted" "$environment/ready" && continue
    rm -rf "$environment"
    "${PYTHON:-python3}" -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --no-deps --requirement "$wanted"
    cp "$wanted" "$environment/ready"
done
