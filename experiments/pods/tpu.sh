#!/usr/bin/env bash
# Trains a run on a Cloud TPU slice, which is asked for as a queued resource:
#
#     NAME=gan ZONE=us-east5-a TYPE=v6e-16 RUNTIME=v2-alpha-tpuv6e \
#         experiments/pods/tpu.sh --config=configs/dcgan.py --workdir=gs://BUCKET/RUN
#
# Arguments are those of gan_jax.main; the run must lie in a bucket, since the disks of
# a slice go with it. The command needs gcloud with a project, is started in the
# repository, and waits: leave it on a machine that stays on. When the slice is
# preempted, it is deleted and asked for again, and the run goes on from the bucket.
set -euo pipefail
: "${NAME:?the name of the slice}" "${ZONE:?such as us-east5-a}"
: "${TYPE:?the accelerator type, such as v6e-16}" "${RUNTIME:?the runtime version}"

archive=$(mktemp --suffix=.tar.gz)
trap 'rm "$archive"' EXIT
trials=${TRIALS:-20}

resource() { gcloud compute tpus queued-resources "$1" "$NAME" --zone="$ZONE" "${@:2}"; }

on_all_hosts() {
  gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all --command="$1"
}

wait_until_active() {
  local state
  while true; do
    state=$(resource describe --format='value(state.state)') || return 1
    case "$state" in
      ACTIVE) return 0 ;;
      FAILED | SUSPENDED | SUSPENDING) return 1 ;;
    esac
    sleep "${SECONDS_BETWEEN_LOOKS:-60}"
  done
}

install() {
  git archive --format=tar.gz --output="$archive" HEAD &&
    gcloud compute tpus tpu-vm scp "$archive" "$NAME":gan_jax.tar.gz --zone="$ZONE" \
      --worker=all &&
    on_all_hosts 'set -e; mkdir -p gan_jax; tar -xzf gan_jax.tar.gz -C gan_jax
    python3 -m venv venv; venv/bin/pip install -q -e "gan_jax[bucket]" "jax[tpu]"'
}

train() {  # the same command on every host
  on_all_hosts "cd gan_jax && exec bash experiments/pods/tpu_host.sh$(printf ' %q' "$@")"
}

while true; do  # a function called by `if` goes on after a failure, hence the &&
  resource create --node-id="$NAME" --accelerator-type="$TYPE" \
    --runtime-version="$RUNTIME" --spot
  if wait_until_active && install && train "$@"; then
    resource delete --force --quiet
    echo "The run is finished."
    exit 0
  fi
  resource describe --format='value(state.state)' || true
  resource delete --force --quiet
  echo "The slice was lost, or a host failed: it is asked for again."
  trials=$((trials - 1))
  if [ "$trials" -le 0 ]; then
    echo "error: too many trials; see what the hosts said above." >&2
    exit 1
  fi
done
