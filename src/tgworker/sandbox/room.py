"""Where messages go."""

from tgworker.sandbox.accounts import Account
from tgworker.sandbox.channels import Channel
from tgworker.sandbox.groups import Group

Room = Account | Group | Channel
"""A user, a basic group, or a channel. Each has a ``peer``: its marked id."""
