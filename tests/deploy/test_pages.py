"""The two how-to pages about deployment agree with what they deploy."""

import re
from pathlib import Path

import pytest

from deploy.deploy_files import CONTAINERFILE, DEPLOY, instructions, seconds, unit
from tgworker.app.run import STOP_WITHIN_S
from tgworker.guard import EXIT_GAVE_UP, EXIT_RESTART_ME, GuardLimits
from tgworker.guard._course import FINAL_EXITS
from tgworker.guard._guard import FAREWELL_S

PAGES = Path(__file__).parents[2] / "docs" / "how-to"
SYSTEMD = (PAGES / "deploy-systemd.md").read_text(encoding="utf-8")
CONTAINER = (PAGES / "deploy-container.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [SYSTEMD, CONTAINER], ids=["systemd", "container"])
def test_every_exit_code_of_the_guard_is_explained(page: str) -> None:
    codes = {int(code) for code in re.findall(r"^\| ([0-9]+) \|", page, re.MULTILINE)}
    assert codes - {137} == FINAL_EXITS | {EXIT_GAVE_UP, EXIT_RESTART_ME}


@pytest.mark.parametrize("page", [SYSTEMD, CONTAINER], ids=["systemd", "container"])
def test_files_that_are_named_exist(page: str) -> None:
    named = set(re.findall(r"\bdeploy/([\w.-]*\w)", page))
    assert named
    assert {name for name in named if not (DEPLOY / name).exists()} == set()


def test_codes_that_leave_the_service_failed_are_the_unit_s() -> None:
    left = {int(code) for code in re.findall(r"^\| ([0-9]+) \| leaves it `failed`", SYSTEMD, re.MULTILINE)}
    (ends,) = unit()["RestartPreventExitStatus"]
    assert left == {int(code) for code in ends.split()}


def test_the_unit_s_times_are_told_as_they_are() -> None:
    told = set(re.findall(r"again after ([0-9]+) s", SYSTEMD)) | set(
        re.findall(r"guard after ([0-9]+) s", SYSTEMD)
    )
    assert told == set(unit()["RestartSec"])
    (silent,) = re.findall(r"silent for ([0-9]+) s", SYSTEMD)
    assert [silent] == unit()["WatchdogSec"]


def test_a_container_gets_the_time_that_the_unit_gives() -> None:
    limits = GuardLimits()
    (stop,) = [seconds(span) for span in unit()["TimeoutStopSec"]]
    assert f"--stop-timeout {stop} " in CONTAINER
    assert f"--time {stop})" in CONTAINERFILE.read_text(encoding="utf-8")
    assert f"stops within {STOP_WITHIN_S:.0f} s, the guard within" in CONTAINER
    (within,) = re.findall(r"the guard within ([0-9]+)\.", CONTAINER)
    assert float(within) == limits.stop_s + limits.stacks_s + FAREWELL_S


def test_folders_of_the_container_are_the_image_s() -> None:
    steps = instructions(CONTAINERFILE.read_text(encoding="utf-8"))
    folders = {argument for name, argument in steps if name in {"VOLUME", "WORKDIR"}} - {"/src"}
    assert {"/var/lib/tgworker", "/etc/tgworker"} == folders
    assert f"--volume tgworker:{dict(steps)['VOLUME']} " in CONTAINER
    assert f":{[a for n, a in steps if n == 'WORKDIR'][-1]}/.env:ro" in CONTAINER
