"""The README shows the two commands that show everything."""

from project.checkout import ROOT


def commands() -> list[str]:
    """The lines behind a prompt in the README's code blocks."""
    return [
        line.removeprefix("$ ").split("#")[0].strip()
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("$ ")
    ]


def test_the_two_commands_stand_in_the_readme() -> None:
    assert "scripts/run demo" in commands()
    assert "scripts/test" in commands()


def test_every_script_that_the_readme_shows_can_be_run() -> None:
    scripts = {command.split()[0] for command in commands() if command.startswith(("scripts/", ".ci/"))}
    assert scripts
    for script in scripts:
        assert (ROOT / script).stat().st_mode & 0o111, script
