#!/bin/sh
# MPCViT's CIFAR-10 model at its own size, on a GPU: a teacher of 300 epochs, then the search's finalists and the baselines for
# 300 epochs each, distilled from it. Each call does eight minutes of that (--slice) and leaves checkpoints; the next one goes
# on to the very numbers. It has ended when there is OUT/report.html:
#
#     until [ -e out/report.html ]; do nas/paper.sh cifar-10-binary.tar.gz out || break; done
#
# NAS in the environment names another sotto-nas than nas/target/release/sotto-nas (cargo build --release --features wgpu).
set -eu
if [ $# -lt 2 ]; then
    echo "usage: nas/paper.sh DATA OUT [options of sotto-nas search, such as --device cuda or --slice 3600]" >&2
    exit 2
fi
nas=${NAS:-$(dirname "$0")/target/release/sotto-nas}
data=$1 out=$2
shift 2
# Larger batches than the paper's 128 keep a GPU busy; the rate grows with the root.
exec "$nas" search --preset mpcvit-cifar10 --data "$data" --out "$out" --resume --device gpu --slice 480 \
    --workers "$(nproc)" --batch 512 --micro 512 --lr 0.0011 --net wan --pareto 3 --finalists 1 --generations 1 \
    --teacher-epochs 300 --supernet-epochs 60 --search-epochs 15 --epochs 300 --private 0 "$@"
