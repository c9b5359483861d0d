"""Options that several commands share, and the settings they read."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tgworker.settings import Requirement, Settings, load_settings

Json = Annotated[bool, Parameter(name="--json", negative="", help="For machines: JSON.")]
"""``--json``."""

Text = Annotated[str, Parameter(allow_leading_hyphen=True)]
"""A value that may begin with a hyphen: ``--session -``, ``--to -1001234``, ``--text '- a list'``."""


def settings_for(*require: Requirement) -> Settings:
    """Read the environment and ``.env``, as far as this command needs it.

    Raises:
        SettingsError: With a line for each problem.
    """
    return load_settings(os.environ, Path(".env"), require=require)
