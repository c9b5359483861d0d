"""The scripts: which Python they find, what they install and when, whose standard output is, what CI runs."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from project.checkout import ROOT, pyproject

TOOLS = (
    "awk",
    "bash",
    "cat",
    "cksum",
    "cp",
    "dirname",
    "env",
    "flock",
    "grep",
    "mkdir",
    "mktemp",
    "rm",
    "sh",
    "tail",
    "tee",
    "tr",
)

# A Python as the scripts see it. It says its version, makes environments (with a Python like itself inside),
# notes what pip is asked for, and runs modules by saying so.
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
"-c "*)
    case "$2" in
    *argv*) [ "$3" = {version} ] || exit 1; echo {path} ;;
    *find_postgresql*) [ -n "{has_postgresql}" ] || grep -q "^apt: .*install" {notes} ;;
    *) echo {version} ;;
    esac ;;
"-m venv")
    for last; do :; done
    case "$*" in *--without-pip*) ;; *) [ -z "{no_ensurepip}" ] || exit 1; pip=yes ;; esac
    mkdir -p "$last/bin"
    cat {path} >"$last/bin/python"
    chmod +x "$last/bin/python"
    [ -z "$pip" ] || cat {path} >"$last/bin/pip"
    [ -z "$pip" ] || chmod +x "$last/bin/pip" ;;
"-m pip")
    case "$*" in *--version*) exit 0 ;; esac
    echo "pip: $*" >>{notes}
    echo "pip talks"
    exit {pip_status} ;;
"-m tgworker")
    [ "$3" = dev-stack ] || {{ echo "ran: $*"; exit; }}
    echo "stack: $*" >>{notes}
    exit {fetch_status} ;;
*) echo "ran: $*"
   case "$*" in *--last-failed*) exit {again_status} ;; esac
   [ {run_status} = 0 ] || echo "FAILED tests/a.py::test_b[x] - a reason"
   exit {run_status} ;;
esac
"""
FAKE_APT = """#!/bin/sh
echo "apt: $*" >>{notes}
echo "E: apt talks"
cp {machine}/etc/postgresql-common/createcluster.conf {machine}/while-installing
exit {status}
"""
# Instead of the checks: only that the tests' environment is there.
NO_CHECKS = """#!/bin/sh
root=$PWD
. scripts/_venv.sh
ensure_venv "$root/.venv" dev
exit {status}
"""


def _of_no_time(line: str) -> str:
    """A line without what is different each time."""
    return re.sub(r"cache_dir=\S+", "cache_dir=TMP", re.sub(r"\d+ s\b", "N s", line))


@dataclass
class Clone:
    """A checkout, and a machine with nothing but the tools and the Pythons that a test gives it."""

    root: Path
    machine: Path

    def install_python(
        self,
        version: str,
        *,
        name: str = "",
        pip_status: int = 0,
        run_status: int = 0,
        again_status: int = 1,
        no_ensurepip: bool = False,
        has_postgresql: bool = True,
        fetch_status: int = 0,
    ) -> None:
        path = self.machine / "bin" / (name or f"python{version}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            FAKE_PYTHON.format(
                version=version,
                path=path,
                notes=self.machine / "notes",
                pip_status=pip_status,
                run_status=run_status,
                again_status=again_status,
                no_ensurepip="yes" if no_ensurepip else "",
                has_postgresql="yes" if has_postgresql else "",
                fetch_status=fetch_status,
            )
        )
        path.chmod(0o755)

    def run(self, script: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / script, *words],
            env={
                "PATH": str(self.machine / "bin"),
                "HOME": str(self.machine),
                "TGWORKER_SYSTEM_ROOT": str(self.machine),
                **env,
            },
            cwd=self.machine,
            capture_output=True,
            text=True,
            timeout=50,
        )

    def run_ci(self, *, check_status: int = 0, **env: str) -> tuple[int, list[str], list[str]]:
        """Run what CI does, without the checks: its exit code, the runs of pytest, the summary."""
        shutil.copytree(ROOT / ".ci", self.root / ".ci")
        (self.root / "scripts/check").write_text(NO_CHECKS.format(status=check_status))
        done = self.run(".ci/run", **env)
        lines = done.stdout.splitlines()
        summary = lines[lines.index("--- summary") + 1 : -1]
        return (
            done.returncode,
            [_of_no_time(line) for line in lines if line.startswith("ran: ")],
            [_of_no_time(line) for line in summary],
        )

    def install_apt(self, *, uid: int = 0, status: int = 0) -> None:
        """A Debian, and who runs the scripts on it."""
        programs = {
            "apt-get": FAKE_APT.format(notes=self.machine / "notes", machine=self.machine, status=status),
            "id": f"#!/bin/sh\necho {uid}\n",
        }
        for name, text in programs.items():
            (self.machine / "bin" / name).write_text(text)
            (self.machine / "bin" / name).chmod(0o755)

    def notes(self, kind: str) -> list[str]:
        """What was asked of ``pip``, ``apt`` or the ``stack``."""
        notes = self.machine / "notes"
        lines = notes.read_text().splitlines() if notes.exists() else []
        return [line for line in lines if line.startswith(f"{kind}: ")]

    def pip_calls(self) -> list[str]:
        return self.notes("pip")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    root, machine = tmp_path / "a clone", tmp_path / "machine"
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    (machine / "bin").mkdir(parents=True)
    for tool in (*TOOLS, "chmod"):
        found = shutil.which(tool)
        if found is not None:
            (machine / "bin" / tool).symlink_to(found)
    return Clone(root, machine)


def test_the_first_run_installs_and_later_ones_do_not(clone: Clone) -> None:
    clone.install_python("3.12")
    first = clone.run("scripts/run", "keygen", "--json")
    assert (first.returncode, first.stdout) == (0, "ran: -m tgworker keygen --json\n")
    assert "making" in first.stderr
    assert f"installing .[worker,migrate] into {clone.root}/.venv" in first.stderr
    assert [call.split()[-1] for call in clone.pip_calls()] == ["clone[worker,migrate]"]
    again = clone.run("scripts/run", "status")
    assert (again.returncode, again.stdout, again.stderr) == (0, "ran: -m tgworker status\n", "")
    assert len(clone.pip_calls()) == 1


def test_arguments_arrive_as_they_were(clone: Clone) -> None:
    clone.install_python("3.12")
    clone.run("scripts/run")
    assert clone.run("scripts/run", "send", "--text", "two  words").stdout == (
        "ran: -m tgworker send --text two  words\n"
    )


def test_a_changed_pyproject_installs_again(clone: Clone) -> None:
    clone.install_python("3.12")
    clone.run("scripts/run")
    with (clone.root / "pyproject.toml").open("a") as file:
        file.write("\n# changed\n")
    assert "installing" in clone.run("scripts/run").stderr
    assert len(clone.pip_calls()) == 2


def test_a_moved_checkout_installs_again(clone: Clone) -> None:
    clone.install_python("3.12")
    clone.run("scripts/run")
    moved = clone.root.rename(clone.root.parent / "moved")
    assert "installing" in Clone(moved, clone.machine).run("scripts/run").stderr


def test_the_tests_environment_serves_the_worker(clone: Clone) -> None:
    clone.install_python("3.12")
    assert clone.run("scripts/test", "-x").stdout == "ran: -m pytest -x\n"
    assert clone.run("scripts/run").stderr == ""
    assert [call.split()[-1] for call in clone.pip_calls()] == ["clone[dev]"]


def test_benchmarks_run_in_the_tests_environment(clone: Clone) -> None:
    clone.install_python("3.12")
    assert clone.run("scripts/bench", "--only", "a,b").stdout == "ran: -m benchmarks --only a,b\n"
    assert [call.split()[-1] for call in clone.pip_calls()] == ["clone[dev]"]


def test_the_soak_runs_in_the_tests_environment(clone: Clone) -> None:
    clone.install_python("3.12")
    assert clone.run("scripts/soak", "--minutes", "1").stdout == "ran: -m soak --minutes 1\n"
    assert [call.split()[-1] for call in clone.pip_calls()] == ["clone[dev]"]


def test_the_worker_s_environment_does_not_serve_the_tests(clone: Clone) -> None:
    clone.install_python("3.12")
    clone.run("scripts/run")
    clone.run("scripts/test")
    assert [call.split()[-1] for call in clone.pip_calls()] == ["clone[worker,migrate]", "clone[dev]"]


def test_a_failed_installation_is_said_and_tried_again(clone: Clone) -> None:
    clone.install_python("3.12", pip_status=1)
    for _ in range(2):
        failed = clone.run("scripts/run", "keygen")
        assert (failed.returncode, failed.stdout) == (2, "")
        assert "pip talks" in failed.stderr
        assert "tgworker: the installation failed" in failed.stderr
    assert len(clone.pip_calls()) == 2


def test_without_a_fitting_python_one_line_says_so(clone: Clone) -> None:
    for version in ("3.10", "3.14"):
        clone.install_python(version)
    clone.install_python("3.9", name="python3")
    failed = clone.run("scripts/run", "keygen")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr == ("tgworker: no Python 3.11, 3.12 or 3.13 found: install one, or put it on PATH\n")


@pytest.mark.parametrize(
    ("pythons", "chosen"),
    [
        ({"python3": "3.11", "python3.13": "3.13"}, "python3"),
        ({"python3": "3.14", "python3.11": "3.11", "python3.12": "3.12"}, "python3.12"),
        ({"python": "3.12"}, "python"),
    ],
)
def test_the_python_on_path_is_preferred_if_it_fits(
    pythons: dict[str, str], chosen: str, clone: Clone
) -> None:
    for name, version in pythons.items():
        clone.install_python(version, name=name)
    assert f" with {clone.machine}/bin/{chosen} (" in clone.run("scripts/run").stderr


def test_a_python_under_pyenv_is_found_although_its_shim_does_not_run(clone: Clone) -> None:
    shim = clone.machine / "bin/python3.12"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    under = clone.machine / ".pyenv/versions/3.12.1/bin"
    under.mkdir(parents=True)
    clone.install_python("3.12", name="elsewhere")
    (clone.machine / "bin/elsewhere").rename(under / "python")
    (under / "python").write_text(
        (under / "python").read_text().replace(f"{clone.machine}/bin/elsewhere", f"{under}/python")
    )
    found = clone.run("scripts/run")
    assert f" with {under}/python (3.12)" in found.stderr
    assert found.returncode == 0


def test_an_environment_whose_python_is_gone_is_made_anew(clone: Clone) -> None:
    clone.install_python("3.12")
    clone.run("scripts/run")
    (clone.root / ".venv/bin/python").write_text("#!/bin/sh\nexit 127\n")
    healed = clone.run("scripts/run", "status")
    assert (healed.returncode, healed.stdout) == (0, "ran: -m tgworker status\n")
    assert "making" in healed.stderr


def test_a_python_without_ensurepip_is_served_by_the_pip_beside_it(clone: Clone) -> None:
    """Debian's, where python3-venv is not installed."""
    clone.install_python("3.12", no_ensurepip=True)
    served = clone.run("scripts/run", "status")
    assert (served.returncode, served.stdout) == (0, "ran: -m tgworker status\n")
    (call,) = clone.pip_calls()
    assert call.startswith(f"pip: -m pip --python {clone.root}/.venv/bin/python install ")


def test_two_first_runs_at_once_install_once(clone: Clone) -> None:
    if shutil.which("flock") is None:
        pytest.skip("without flock two first runs do not wait for each other")
    clone.install_python("3.12")
    environment = {"PATH": str(clone.machine / "bin"), "HOME": str(clone.machine)}
    both = [
        subprocess.Popen([clone.root / "scripts/run"], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate(timeout=50)[0] for process in both] == ["ran: -m tgworker\n"] * 2
    assert len(clone.pip_calls()) == 1


FETCH = "stack: -m tgworker dev-stack --fetch"


def test_the_tests_get_what_the_local_stack_is_made_of(clone: Clone) -> None:
    clone.install_python("3.12")
    clone.install_apt()
    done = clone.run("scripts/test", "-x")
    assert (done.returncode, done.stdout) == (0, "ran: -m pytest -x\n")
    assert (clone.notes("stack"), clone.notes("apt")) == ([FETCH], [])


def test_root_on_debian_gets_postgresql_from_there_without_a_service(clone: Clone) -> None:
    clone.install_python("3.12", has_postgresql=False)
    clone.install_apt()
    for _ in range(2):
        done = clone.run("scripts/test")
        assert (done.returncode, done.stdout) == (0, "ran: -m pytest\n")
    update, install = clone.notes("apt")
    assert (update, install.split()[1], install.split()[-1]) == ("apt: update", "install", "postgresql")
    assert (clone.machine / "while-installing").read_text() == "create_main_cluster = false\n"
    assert not (clone.machine / "etc/postgresql-common/createcluster.conf").exists()
    assert clone.notes("stack") == [FETCH] * 2


def test_a_setting_of_the_machine_s_own_stays_as_it_is(clone: Clone) -> None:
    clone.install_python("3.12", has_postgresql=False)
    clone.install_apt()
    setting = clone.machine / "etc/postgresql-common/createcluster.conf"
    setting.parent.mkdir(parents=True)
    setting.write_text("start_conf = 'manual'\n")
    clone.run("scripts/test")
    assert len(clone.notes("apt")) == 2
    assert setting.read_text() == "start_conf = 'manual'\n"


def test_where_apt_fails_or_is_not_for_us_the_stack_fetches_for_itself(clone: Clone) -> None:
    clone.install_python("3.12", has_postgresql=False)
    clone.install_apt(uid=1000)
    assert clone.run("scripts/test").returncode == 0
    assert (clone.notes("apt"), clone.notes("stack")) == ([], [FETCH])
    clone.install_apt(status=100)
    done = clone.run("scripts/test")
    assert (done.returncode, done.stdout) == (0, "ran: -m pytest\n")
    assert "E: apt talks\ntgworker: apt-get could not install PostgreSQL\n" in done.stderr
    assert clone.notes("stack") == [FETCH] * 2


def test_what_cannot_be_had_is_said_and_the_tests_run_all_the_same(clone: Clone) -> None:
    clone.install_python("3.12", fetch_status=1)
    done = clone.run("scripts/test", "-x")
    assert (done.returncode, done.stdout) == (0, "ran: -m pytest -x\n")
    assert done.stderr.endswith("tgworker: tests against PostgreSQL will be skipped (in CI they fail)\n")


WHOLE = "ran: -m pytest -q -o cache_dir=TMP -n 4 --dist worksteal"
AGAIN = "ran: -m pytest -q -o cache_dir=TMP --last-failed --last-failed-no-failures none"


def test_ci_runs_the_whole_suite_on_each_python_and_names_what_is_missing(clone: Clone) -> None:
    for version in ("3.11", "3.13"):
        clone.install_python(version)
    status, runs, summary = clone.run_ci()
    assert (status, runs) == (0, [WHOLE] * 2)
    assert summary == [
        "check: ok (N s)",
        f"3.13: ok (N s, whole suite): {WHOLE}",
        "3.12: not run: no python3.12 found on PATH or under pyenv",
        f"3.11: ok (N s, whole suite): {WHOLE}",
    ]


def test_ci_leaves_slow_tests_out_after_the_first_python_where_time_is_short(clone: Clone) -> None:
    for version in ("3.12", "3.13"):
        clone.install_python(version)
    status, runs, summary = clone.run_ci(CI_BUDGET_S="0")
    assert (status, runs) == (0, [WHOLE, f"{WHOLE} -m not slow"])
    assert summary[2] == f"3.12: ok (N s, without slow tests, for lack of time): {WHOLE} -m not slow"


def test_ci_fails_if_any_step_does_and_runs_the_others_all_the_same(clone: Clone) -> None:
    clone.install_python("3.11")
    clone.install_python("3.12", pip_status=1)
    clone.install_python("3.13", run_status=1)
    status, runs, summary = clone.run_ci()
    assert (status, runs) == (1, [WHOLE, AGAIN, WHOLE])
    assert [line.split(" (")[0] for line in summary] == [
        "check: ok",
        "3.13: FAILED",
        "3.12: FAILED: could not be prepared",
        "3.11: ok",
    ]


def test_ci_names_what_passed_only_alone(clone: Clone) -> None:
    clone.install_python("3.13", run_status=1, again_status=0)
    status, runs, summary = clone.run_ci()
    assert (status, runs) == (0, [WHOLE, AGAIN])
    assert summary[1].startswith("3.13: ok (N s, whole suite): ")
    assert summary[1].endswith("; unsteady: tests/a.py::test_b[x]")


def test_ci_does_not_try_again_what_was_no_failure_of_a_test(clone: Clone) -> None:
    clone.install_python("3.13", run_status=2, again_status=0)  # interrupted, or an error in collecting
    status, runs, _ = clone.run_ci()
    assert (status, runs) == (1, [WHOLE])


def test_ci_fails_if_the_checks_do(clone: Clone) -> None:
    clone.install_python("3.12")
    status, runs, summary = clone.run_ci(check_status=1)
    assert (status, runs, summary[0]) == (1, [WHOLE], "check: FAILED (N s)")


@pytest.mark.parametrize(
    "script",
    [".ci/run", *(f"scripts/{name}" for name in ("bench", "check", "coverage", "run", "test"))],
)
def test_the_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


def test_an_ignore_comment_silences_one_checker_and_must_silence_something() -> None:
    # Else one of them could accept what tests/**/types_of_*.py must see refused, and nobody would notice.
    checkers = pyproject()["tool"]
    assert checkers["mypy"]["strict"] is True
    assert "warn_unused_ignores" not in checkers["mypy"]
    assert checkers["pyright"]["enableTypeIgnoreComments"] is False
    assert checkers["pyright"]["reportUnnecessaryTypeIgnoreComment"] == "error"
