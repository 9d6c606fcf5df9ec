#!/usr/bin/env bash
# Starts gan_jax.main on one host of a Cloud TPU slice; tpu.sh calls it on all of them.
#
# On TPU VMs no variable says that there are other hosts. The metadata server does, from
# which JAX reads the same.
set -euo pipefail

attribute() {
  curl --silent --show-error --fail --header 'Metadata-Flavor: Google' \
    "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}

endpoints=$(attribute worker-network-endpoints)
number=$(attribute agent-worker-number)
IFS=, read -ra hosts <<< "$endpoints"  # each is an address, or name:number:address
if [ "${#hosts[@]}" -gt 1 ]; then
  set -- "$@" --coordinator_address="${hosts[0]##*:}:8476" \
    --num_processes="${#hosts[@]}" --process_id="$number"
fi
export PATH="$HOME/venv/bin:$PATH"
exec python -m gan_jax.main "$@"
