"""The demo's stage: a sandbox, a worker, and the traffic between them."""

import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from tgworker.app.parts import Parts
from tgworker.app.telegram import make_telegram
from tgworker.app.worker import Worker
from tgworker.cli.demo.companion import Companion
from tgworker.cli.demo.courier import Courier
from tgworker.cli.demo.ground import Ground
from tgworker.cli.demo.ledger import Count, compare_chats
from tgworker.cli.demo.view import Scene
from tgworker.cli.demo.watch import Watch
from tgworker.messaging.events import Ingested, SendFinished
from tgworker.messaging.models import AccountId, MessageId, Secret
from tgworker.messaging.pacing import UNPACED
from tgworker.sandbox import Fault, Sandbox, SandboxUser, open_sandbox
from tgworker.settings import TelegramServer, TelegramSettings
from tgworker.supervision import Backoff
from tgworker.supervision.testing import Saboteur
from tgworker.vault import FernetVault, new_key

OWNER = "00000000-0000-0000-0000-000000000000"
PARTNERS = 6
STALL_AFTER_S = 2.0
BACKOFF = Backoff(initial_s=0.2, cap_s=1)


@dataclass(frozen=True, slots=True)
class Actor:
    """One of the worker's accounts.

    Attributes:
        id: The account's row.
        name: What people call it.
        user: Its user at the sandbox.
    """

    id: AccountId
    name: str
    user: SandboxUser


class Stage:
    """The running worker and sandbox, what was given to them, and what they hold."""

    def __init__(
        self,
        sandbox: Sandbox,
        ground: Ground,
        worker: Worker,
        watch: Watch,
        saboteur: Saboteur,
        accounts: Sequence[Actor],
        companion: Companion,
    ) -> None:
        self.worker = worker
        self.watch = watch
        self.accounts = accounts
        *self.partners, friend, _ = sandbox.users[len(accounts) :]
        self.courier = Courier(sandbox, ground, accounts[0].id, accounts[0].user, friend)
        self.companion = companion
        self._sandbox = sandbox
        self._application = ground.application
        self._rest = ground.rest
        self._saboteur = saboteur
        self._outbound: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
        self._inbound: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
        self._given_at_s: dict[MessageId, float] = {}
        self._number = 0
        self._giving = trio.Lock()  # what is given first stands in the store first

    # ---------------------------------------------------------------- giving

    async def give_outbound(self, account: Actor, partner: SandboxUser) -> MessageId:
        """Insert a row as the application does: the account writes to the partner.

        Cancellation: it may be given or not; the count at the end does not know.
        """
        async with self._giving:
            text = self._next("out")
            self._outbound[account.user.id, partner.id].append(text)
            given_at_s = trio.current_time()
            (message_id,) = await self._application.enqueue(account.id, str(partner.id), [text])
            self._given_at_s[message_id] = given_at_s
            return message_id

    def give_inbound(self, account: Actor, partner: SandboxUser) -> None:
        """The partner writes to the account from a device of their own."""
        text = self._next("in")
        self._inbound[account.user.id, partner.id].append(text)
        self._sandbox.send_text(partner.id, account.user.id, text)

    def _next(self, direction: str) -> str:
        self._number += 1
        return f"demo {direction} {self._number:05d}"

    @property
    def given(self) -> int:
        """How many messages were given so far, both ways."""
        return self._number

    def describe(self, scene: Scene) -> Scene:
        """Bring what there is to see up to date."""
        status = self.worker.describe()
        events = [noted.event for noted in self.watch.notes]
        scene.given = self.given
        scene.sent = len(self.answered_at_s())
        scene.received = sum(event.new for event in events if isinstance(event, Ingested))
        scene.heartbeats = status["heartbeats"]
        scene.loops = {
            name: (loop["operation"] or "waiting") if loop["alive"] else f"down ({loop['verdict']})"
            for name, loop in status["loops"].items()
        }
        scene.accounts = {account["name"]: account["state"] or "-" for account in status["accounts"]}
        return scene

    # ---------------------------------------------------------------- faults

    def hang(self, child: str) -> None:
        """Put a loop to sleep for ever."""
        self._saboteur.hang(f"root.{child}")

    def crash(self, account: Actor) -> None:
        """Make an account's child raise."""
        self._saboteur.crash(f"root.account.{account.id}", RuntimeError("the demo's crash"))

    @contextmanager
    def black_hole(self) -> Generator[None]:
        """No byte passes between worker and sandbox, and no line breaks, while the block runs."""
        faults = [
            self._sandbox.faults.set(Fault("blackhole", method=method)) for method in ("raw", "connect")
        ]
        try:
            yield
        finally:
            for fault in faults:
                self._sandbox.faults.clear(fault)

    @property
    def has_rest(self) -> bool:
        """Whether there is a server between worker and store, which may die."""
        return self._rest is not None

    @asynccontextmanager
    async def without_rest(self) -> AsyncGenerator[None]:
        """That server is killed, and started again at the end of the block."""
        rest = self._rest
        assert rest is not None
        await rest.kill()
        yield
        await rest.start()

    # ---------------------------------------------------------------- counting

    async def wait_sent(self, ids: Iterable[MessageId], *, within_s: float) -> bool:
        """Wait until Telegram has acknowledged these messages."""
        wanted = set(ids)
        with trio.move_on_after(within_s):
            while not wanted <= self.answered_at_s().keys():
                await self.watch.wait_next()
            return True
        return False

    async def wait_online(self, *, within_s: float) -> bool:
        """Wait until every account is online."""
        wanted = {account.id for account in self.accounts}
        with trio.move_on_after(within_s):
            while not wanted <= self.worker.dispatch.online():
                await self.watch.wait_next()
            return True
        return False

    def answered_at_s(self) -> dict[MessageId, float]:
        """When Telegram acknowledged each message, on trio's clock."""
        return {
            noted.event.message: noted.at_s
            for noted in self.watch.notes
            if isinstance(noted.event, SendFinished) and noted.event.outcome == "sent"
        }

    def sends(self) -> list[tuple[float, float]]:
        """For each acknowledged message when it was given and when it was acknowledged."""
        answered = self.answered_at_s()
        return [(given, answered[key]) for key, given in self._given_at_s.items() if key in answered]

    async def wait_all_arrived(self, *, within_s: float) -> None:
        """Wait until both sides hold what was given, or the time is up."""
        with trio.move_on_after(within_s):
            while True:
                out, inn = await self.counts()
                if out.arrived == out.expected and inn.arrived == inn.expected and not self._unsettled():
                    return
                await trio.sleep(0.1)

    def _unsettled(self) -> int:
        return self.worker.dispatch.statistics().claimed

    async def counts(self) -> tuple[Count, Count]:
        """What was given against what the other side holds: outbound, inbound.

        Outbound, the partners' accounts at the sandbox are read; inbound, the worker's store.
        """
        pairs = [(account, partner) for account in self.accounts for partner in self.partners]
        sent = {
            (account.user.id, partner.id): [
                line.text for line in self._sandbox.chat(partner.id, account.user.id) if not line.outgoing
            ]
            for account, partner in pairs
        }
        received: dict[tuple[int, int], list[str]] = {}
        for account in self.accounts:
            for chat_id, text in await self._application.transcript(account.id, direction="inbound"):
                if chat_id in (self.courier.friend.id, self.companion.user.id):
                    continue  # they count by themselves
                received.setdefault((account.user.id, chat_id), []).append(text)
        return compare_chats(self._outbound, sent), compare_chats(self._inbound, received)


@asynccontextmanager
async def open_stage(folder: Path, ground: Ground, rng: random.Random, watch: Watch) -> AsyncGenerator[Stage]:
    """Start sandbox and worker; leaving takes them down again.

    Args:
        folder: Where the worker's status socket is.
        ground: The store.
        rng: The worker's jitter.
        watch: Hears of everything.
    """
    opened = ground.opened
    async with open_sandbox(users=2 + PARTNERS + 2) as sandbox:
        saboteur = Saboteur()
        vault = FernetVault([new_key()])
        accounts = [
            Actor(
                await ground.application.add_account(
                    name, OWNER, vault.encrypt(user.session), user_id=user.id, phone=user.phone
                ),
                name,
                user,
            )
            for name, user in zip(("alice", "bob"), sandbox.users, strict=False)
        ]
        server = TelegramServer(
            host=sandbox.host, port=sandbox.port, dc=sandbox.dc, public_key=sandbox.public_key_pem
        )
        telegram = make_telegram(
            TelegramSettings(api_id=1, api_hash=Secret("sandbox"), server=server),
            watch.note,
            may_write=opened.may_write,
        )
        worker = Worker(
            Parts(
                worker_id="demo",
                incarnation=opened.incarnation,
                data_dir=folder,
                limits=opened.limits,
                stall_after_s=STALL_AFTER_S,
                store=opened.store,
                files=opened.files,
                leases=opened.leases,
                wakeup=opened.wakeup,
                pace=opened.pace,
                rates=UNPACED,
                telegram=telegram,
                vault=vault,
                heartbeats=opened.heartbeats,
                rng=rng,
                report=watch.note,
                observers=(watch.note,),
                adjust=saboteur.wrap,
                line_backoff=BACKOFF,
                restart_backoff=BACKOFF,
            )
        )
        alice = accounts[0]
        companion = Companion(sandbox, ground, OWNER, alice.id, alice.user, sandbox.users[-1])
        companion.remember()
        async with worker.open():
            yield Stage(sandbox, ground, worker, watch, saboteur, accounts, companion)
