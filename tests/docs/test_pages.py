"""The pages agree with the code: the generated ones, the programs in them, and the links between them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def programs() -> list[object]:
    return [
        pytest.param(program, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, program in enumerate(PROGRAM.findall(page.read_text(encoding="utf-8")), start=1)
    ]


@pytest.mark.slow
def test_the_generated_pages_are_what_the_code_says() -> None:
    # In a process of its own: the pages depend on nothing that a test has imported or changed.
    script = (
        "import sys; sys.path.insert(0, 'docs'); import generate\n"
        "for path, text in generate.pages().items():\n"
        "    if path.read_text(encoding='utf-8') != text:\n"
        "        sys.exit(f'{path.name} is out of date: run python docs/generate.py')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("program", programs())
def test_a_program_in_the_docs_runs_as_it_stands(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


def programs_for_pytest() -> list[object]:
    """Programs that only define tests: run as they stand they prove nothing."""
    return [
        pytest.param(program, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, program in enumerate(PROGRAM.findall(page.read_text(encoding="utf-8")), start=1)
        if "def test_" in program and "trio.run(" not in program
    ]


@pytest.mark.slow
@pytest.mark.parametrize("program", programs_for_pytest())
def test_a_test_in_the_docs_passes_under_pytest(program: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "trio_mode=true", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
