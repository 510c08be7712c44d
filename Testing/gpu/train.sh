#!/usr/bin/env bash
# Trains the preset `fast` (size base) on a GPU, in calls of limited time: call it again with the same arguments until
# it says that the run is finished (exit status 0). After a call that was cut short the exit status is 130.
#
#   bash Testing/gpu/train.sh DATA RUN [SECONDS [OPTION…]]
#
# SECONDS: after so many it stops with a checkpoint (default: never). OPTION: of lckd train, such as --set batch=4.
set -euo pipefail

data="$1" run="$2" seconds="${3:-0}"
# A minute after the request to stop it is killed, which costs what was done since the last checkpoint.
timeout --signal=TERM --kill-after=60 --preserve-status "$seconds" \
  python -m lckd train --data "$data" --preset fast --device "${DEVICE:-cuda}" -o "$run" --resume "${@:4}"
python -m lckd export "$run" -o "$run/model" --overwrite
echo "The run is finished; its model is $run/model."
