"""The container file: a linter's opinion, and what it has in common with the code and the project."""

import shutil
import subprocess
import sysconfig
from fnmatch import fnmatch

import pytest

from deploy.deploy_files import CONTAINERFILE, DEPLOY, command_of_the_unit, instructions, seconds, words
from project.checkout import ROOT, pyproject
from tgworker.app.guarded import OPENING_S
from tgworker.cli._app import COMMANDS
from tgworker.settings import VARIABLES, LogFormat, load_settings

STEPS = instructions(CONTAINERFILE.read_text(encoding="utf-8"))


def all_of(instruction: str) -> list[str]:
    return [argument for name, argument in STEPS if name == instruction]


def only(instruction: str) -> str:
    (argument,) = all_of(instruction)
    return argument


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for word in only("ENV").split())


def test_the_linter_has_no_objection() -> None:
    hadolint = shutil.which("hadolint", path=sysconfig.get_path("scripts")) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("no hadolint for this machine: the container file was NOT linted")
    done = subprocess.run(
        [hadolint, "--no-color", "--strict-labels", CONTAINERFILE], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_both_stages_have_one_python_that_the_project_supports() -> None:
    images = {argument.split()[0] for argument in all_of("FROM")}
    assert len(images) == 1  # the environment is copied from one to the other
    version = images.pop().partition("python:")[2].removesuffix("-slim")
    assert f"Programming Language :: Python :: {version}" in pyproject()["project"]["classifiers"]


def test_it_is_built_from_files_that_exist_and_that_the_build_may_see() -> None:
    copied = [
        word for argument in all_of("COPY") if "--from" not in argument for word in argument.split()[:-1]
    ]
    needed = {
        "pyproject.toml",
        pyproject()["project"]["readme"],
        *pyproject()["project"]["license-files"],
        *(
            package.split("/")[0]
            for package in pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        ),
    }
    assert set(copied) == needed
    ignore = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"  # nothing but what is named
    assert {rule[1:] for rule in rules if rule.startswith("!")} == needed
    assert all((ROOT / name).exists() for name in needed)
    assert any(fnmatch("src/x/__pycache__", rule) for rule in rules[1:])


def test_it_installs_an_extra_that_there_is() -> None:
    (extras,) = [argument.partition("=")[2] for argument in all_of("ARG")]
    assert set(extras.split(",")) <= pyproject()["project"]["optional-dependencies"].keys()


def test_it_needs_neither_root_nor_a_shell() -> None:
    user, _, group = only("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert [*words(only("ENTRYPOINT")), *words(only("CMD"))] == command_of_the_unit()
    assert STEPS.index(("USER", only("USER"))) > max(
        place for place, (name, _) in enumerate(STEPS) if name in {"RUN", "COPY"}
    )


def test_its_environment_is_the_worker_s() -> None:
    known = {variable.name for variable in VARIABLES}
    assert environment().keys() - {"PATH"} <= known
    settings = load_settings(environment(), require=())
    assert str(settings.data_dir) == only("VOLUME")
    assert settings.log_format is LogFormat.JSON
    assert settings.status_bind is not None
    assert settings.status_bind.port == int(only("EXPOSE"))
    (owned,) = [argument for argument in all_of("COPY") if "--chown" in argument]
    assert owned.split() == ["--from=build", f"--chown={only('USER')}", "/data", only("VOLUME")]


def test_its_health_is_what_status_says() -> None:
    options, _, command = only("HEALTHCHECK").partition(" CMD ")
    assert words(command)[:-1] == words(only("ENTRYPOINT"))
    assert words(command)[-1] in COMMANDS
    given = dict(option.removeprefix("--").split("=") for option in options.split())
    assert seconds(given["timeout"]) > 2  # `status` waits so long for an answer
    assert seconds(given["start-period"]) > OPENING_S
    assert only("STOPSIGNAL") == "SIGTERM"
