"""Everything that one sandbox remembers: what its connections share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from random import Random

import trio

from tgworker.sandbox.accounts import Directory
from tgworker.sandbox.auth_keys import KeyRing
from tgworker.sandbox.behaviour import Behaviour
from tgworker.sandbox.channels import Channels
from tgworker.sandbox.faults import Faults
from tgworker.sandbox.files import FileShelf
from tgworker.sandbox.groups import Groups
from tgworker.sandbox.invitation import Invitation
from tgworker.sandbox.login_tokens import LoginTokens
from tgworker.sandbox.media import DocumentMedia
from tgworker.sandbox.server_key import ServerKey
from tgworker.sandbox.statistics import Counts
from tgworker.sandbox.takeouts import Takeouts
from tgworker.sandbox.throttle import Throttle


@dataclass(eq=False)
class Cloud:
    """The pretended Telegram, without its sockets.

    Attributes:
        dc_id: The number of the first data centre, where users live who did not move.
        rng: Where keys, salts and hashes come from.
        calendar: Unix time in seconds, for message ids and dates.
        clock: Time that passes, in seconds: whatever waits or is counted by the second.
        behaviour: The switches.
        given_key: The server's RSA key, if whoever opened the sandbox has one.
        keys: The authorization keys.
        faults: What goes wrong.
        counts: What happened.
        salt: The server salt that clients must use now.
        directory: The users.
        groups: The basic groups.
        channels: The channels and supergroups.
        invitations: The links by which anybody joins, by what stands in them.
        throttle: What comes too often.
        login_tokens: What clients show as QR codes.
        takeouts: Who exports what.
        files: What came in.
        documents: What was said of files that are no photos, by their ids.
        ports: Where its data centres listen, once they do, by number.
    """

    dc_id: int
    rng: Random
    calendar: Callable[[], float]
    behaviour: Behaviour
    given_key: ServerKey | None = None
    clock: Callable[[], float] = trio.current_time
    keys: KeyRing = field(default_factory=KeyRing)
    faults: Faults = field(default_factory=Faults)
    counts: Counts = field(default_factory=Counts)
    salt: int = field(init=False)
    directory: Directory = field(init=False)
    throttle: Throttle = field(init=False)
    login_tokens: LoginTokens = field(init=False)
    takeouts: Takeouts = field(init=False)
    files: FileShelf = field(init=False)
    documents: dict[int, DocumentMedia] = field(default_factory=dict[int, DocumentMedia], repr=False)
    groups: Groups = field(default_factory=Groups)
    channels: Channels = field(default_factory=Channels)
    invitations: dict[str, Invitation] = field(default_factory=dict[str, Invitation], repr=False)
    ports: dict[int, int] = field(default_factory=dict[int, int])

    def __post_init__(self) -> None:
        """Draw the secrets."""
        self.directory = Directory(self.rng.randbytes(16), self.dc_id, self.now)
        self.files = FileShelf(self.rng)
        self.login_tokens = LoginTokens(self.rng)
        self.takeouts = Takeouts(self.rng, self.clock)
        self.throttle = Throttle(self.clock, self.directory.contacts)
        self.turn_salt()

    @cached_property
    def server_key(self) -> ServerKey:
        """The RSA key; made when it is first needed, because that takes 0.1 s."""
        return self.given_key or ServerKey.generate()

    @property
    def nearest_dc(self) -> int:
        """The data centre that clients without an account are to use."""
        return self.behaviour.nearest_dc or self.dc_id

    def now(self) -> datetime:
        """The time as Telegram writes it: whole seconds."""
        return datetime.fromtimestamp(int(self.calendar()), UTC)

    def turn_salt(self) -> None:
        """Take another salt: clients are told when they use the old one."""
        self.salt = self.rng.getrandbits(63) | 1
