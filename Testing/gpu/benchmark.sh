#!/usr/bin/env bash
# Times of inference and training on a GPU, one after the other, as two tables and a JSON object on stdout.
#
#   bash Testing/gpu/benchmark.sh [DATA]
#
# DATA: folder of labeled cases (default: phantoms). DEVICE names another device than cuda.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

device="${DEVICE:-cuda}"
python Testing/benchmarks/inference.py --device "$device" --threads "$(nproc)"
python Testing/benchmarks/training.py --device "$device" --preset fast --steps 50 ${1:+--data "$1"}
