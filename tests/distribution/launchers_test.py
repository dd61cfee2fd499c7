"""The environments of launchers."""

import pytest

from keras_larp.distribution.launchers import Job, find_job, first_host

pytestmark = pytest.mark.once
TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "gpu-1",
    "MASTER_PORT": "29500",
}
SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_JOB_ID": "123456",
}


def test_torchrun():
    assert find_job("torch", TORCHRUN) == Job("gpu-1:29500", 8, 3, 1)


def test_jax_does_not_use_the_port_of_torchrun():
    assert find_job("jax", TORCHRUN).address == "gpu-1:29501"


def test_slurm():
    assert find_job("torch", SLURM) == Job("gpu03:23456", 8, 5, 1)


@pytest.mark.parametrize("tasks", ["1", "1(x8)"])
def test_one_process_per_machine_has_no_local_index(tasks):
    environment = {**SLURM, "SLURM_STEP_TASKS_PER_NODE": tasks}
    assert find_job("jax", environment).local_index is None


def test_ten_processes_per_machine_have_local_indices():
    environment = {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "10"}
    assert find_job("jax", environment).local_index == 1


def test_variables_of_jax():
    environment = {
        "JAX_COORDINATOR_ADDRESS": "host:1234",
        "JAX_NUM_PROCESSES": "4",
        "JAX_PROCESS_ID": "2",
    }
    assert find_job("jax", environment) == Job("host:1234", 4, 2)
    assert find_job("torch", environment) is None


def test_hosts_of_a_tpu():
    environment = {"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}
    assert find_job("jax", environment) == Job(None, None, None)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        {"TPU_WORKER_HOSTNAMES": "localhost"},
    ],
)
def test_no_launcher(environment):
    assert find_job("jax", environment) is None


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("gpu[03-07,9],login1", "gpu03"),
        ("node1", "node1"),
        ("a-1,a-2", "a-1"),
        ("n[7,9]", "n7"),
    ],
)
def test_first_host(nodes, host):
    assert first_host(nodes) == host


@pytest.mark.parametrize("name", ["MASTER_ADDR", "MASTER_PORT"])
def test_missing_variable_is_an_error(name):
    environment = {k: v for k, v in TORCHRUN.items() if k != name}
    with pytest.raises(ValueError, match=f"did not set .* {name}"):
        find_job("torch", environment)


def test_variable_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match="RANK must be an integer.*'first'"):
        find_job("torch", {**TORCHRUN, "RANK": "first"})
