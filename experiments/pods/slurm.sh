#!/usr/bin/env bash
# Trains a run under SLURM, and puts the job back into the queue until it is finished:
#
#     sbatch experiments/pods/slurm.sh --config=configs/dcgan.py --workdir=runs/dcgan
#
# Arguments are those of gan_jax.main. Options of sbatch stand before the script, such as
# --nodes=4. Under SLURM, JAX gives process N of a node the GPU N alone: ask for as many
# processes a node as it has GPUs, with --ntasks-per-node=4 --gpus-per-node=4, and not
# for GPUs by the task. The folder of --workdir lies on a disk that all nodes see, or is
# an address in a bucket.
#SBATCH --job-name=gan_jax
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -u

# SLURM sends SIGTERM to the processes of srun two minutes before the time is up. They
# save, and leave with 75, which says that the same command goes on from there.
srun python -m gan_jax.main "$@"
status=$?
echo "gan_jax.main ended with status $status on $(hostname)."
if [ "$status" -eq 75 ]; then
  exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
