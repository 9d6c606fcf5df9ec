"""The scripts of experiments/pods, with stand-ins for the cluster's own commands.

A stand-in writes its arguments to a file and prints or returns what a test asks for.
"""

import os
from pathlib import Path
import subprocess

import pytest
import yaml

from gan_jax import command

FOLDER = Path(__file__).parents[2] / "experiments" / "pods"


@pytest.fixture
def cluster(tmp_path):
    """Runs a script with stand-ins, and returns its status and the commands it ran."""
    calls = tmp_path / "calls"

    def run(script, *arguments, stubs, env=None):
        for name, code in stubs.items():
            path = tmp_path / name
            path.write_text(
                f'#!/bin/bash\nprintf "%s\\n" "{name} $*" >> {calls}\n{code}\n'
            )
            path.chmod(0o755)
        done = subprocess.run(
            ["bash", FOLDER / script, *arguments],
            env=os.environ
            | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
            | {"SLURM_JOB_ID": "7", **(env or {})},
            cwd=FOLDER.parents[1],
            capture_output=True,
            text=True,
        )
        return done.returncode, calls.read_text().splitlines()

    return run


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda x: x.name)
def test_a_script_is_bash(script):
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_slurm_job_that_is_finished_or_wrong_is_not_queued_again(cluster, status):
    flags = ("--config=dcgan", "--workdir=a b")
    done, calls = cluster(
        "slurm.sh", *flags, stubs={"srun": f"exit {status}", "scontrol": ""}
    )
    assert done == status
    assert calls == ["srun python -m gan_jax.main --config=dcgan --workdir=a b"]


def test_a_slurm_job_that_was_saved_is_queued_again(cluster):
    stubs = {"srun": f"exit {command.UNFINISHED}", "scontrol": ""}
    done, calls = cluster("slurm.sh", stubs=stubs)
    assert done == 0 and calls[1:] == ["scontrol requeue 7"]


@pytest.mark.parametrize(
    "endpoints, number, flags",
    [
        ("10.0.0.1", 0, []),
        ("u:0:10.0.0.1", 0, []),
        ("h0,h1", 1, ["--coordinator_address=h0:8476", "--num_processes=2", 1]),
        (
            "unknown:8470:10.0.0.5,unknown:8470:10.0.0.6,unknown:8470:10.0.0.7",
            2,
            ["--coordinator_address=10.0.0.5:8476", "--num_processes=3", 2],
        ),
    ],
)
def test_a_tpu_host_finds_the_others(cluster, endpoints, number, flags):
    curl = f"case $* in *worker-network*) echo {endpoints};; *) echo {number};; esac"
    done, calls = cluster(
        "tpu_host.sh", "--workdir=gs://a/b c", stubs={"curl": curl, "python": ""}
    )
    words = [f"--process_id={x}" if isinstance(x, int) else x for x in flags]
    expected = ["python -m gan_jax.main --workdir=gs://a/b c", *words]
    assert done == 0 and calls[-1] == " ".join(expected)


def test_a_tpu_host_without_metadata_starts_nothing(cluster):
    done, calls = cluster("tpu_host.sh", stubs={"curl": "exit 6", "python": ""})
    assert done == 6 and not [one for one in calls if one.startswith("python")]


TPU = {"NAME": "gan", "ZONE": "z", "TYPE": "v6e-16", "RUNTIME": "r"}
ACTIVE = "case $* in *describe*) echo ACTIVE;; "


def verbs(calls):
    """What gcloud was asked to do, such as create or ssh."""
    words = [one.split() for one in calls if one.startswith("gcloud")]
    return [word[4] for word in words]


def test_a_tpu_slice_is_asked_for_used_by_all_hosts_and_deleted(cluster):
    flags = ("--config=dcgan", "--workdir=gs://a/b c")
    env = TPU | {"SECONDS_BETWEEN_LOOKS": "0"}
    done, calls = cluster(
        "tpu.sh", *flags, stubs={"git": "", "gcloud": f"{ACTIVE} esac"}, env=env
    )
    assert done == 0
    assert verbs(calls) == ["create", "describe", "scp", "ssh", "ssh", "delete"]
    text = "\n".join(calls)
    assert "create gan --zone=z --node-id=gan --accelerator-type=v6e-16" in text
    train = next(one for one in calls if "tpu_host.sh" in one)
    assert "--worker=all" in train
    assert train.endswith(r"tpu_host.sh --config=dcgan --workdir=gs://a/b\ c")


@pytest.mark.parametrize(
    "failing, expected",
    [
        ("tpu_host", ["create", "describe", "scp", "ssh", "ssh", "describe", "delete"]),
        ("scp", ["create", "describe", "scp", "describe", "delete"]),
    ],
)
def test_a_tpu_slice_that_fails_is_asked_for_again(cluster, failing, expected):
    env = TPU | {"SECONDS_BETWEEN_LOOKS": "0", "TRIALS": "2"}
    stubs = {"git": "", "gcloud": f"{ACTIVE} *{failing}*) exit 1;; esac"}
    done, calls = cluster("tpu.sh", stubs=stubs, env=env)
    assert done == 1 and verbs(calls) == expected * 2


def test_a_kubernetes_job_restarts_by_the_statuses_of_the_command():
    service, job = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    spec = job["spec"]
    actions = {
        rule["onExitCodes"]["values"][0]: rule["action"]
        for rule in spec["podFailurePolicy"]["rules"]
        if "onExitCodes" in rule
    }
    wrong, unfinished = command.WRONG_FLAG, command.UNFINISHED
    assert actions == {wrong: "FailJob", unfinished: "Ignore"}
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # without which there is no podFailurePolicy
    (line,) = pod["containers"][0]["args"]
    name = job["metadata"]["name"]
    assert f"--coordinator_address={name}-0.{pod['subdomain']}:" in line
    assert f"--num_processes={spec['completions']} " in line
    assert spec["parallelism"] == spec["completions"]
    assert service["metadata"]["name"] == pod["subdomain"]
    assert service["spec"]["selector"] == {"job-name": name}
