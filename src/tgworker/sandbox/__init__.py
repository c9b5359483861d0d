"""A Telegram of one's own, on 127.0.0.1: real MTProto 2.0, with faults on command.

An unmodified client can be pointed at it: in the demo, in tests, by whoever wants to see a worker fail::

    async with open_sandbox(users=2) as sandbox:
        sandbox.server, sandbox.dc, sandbox.public_key_pem  # for a client's settings
        alice, bob = sandbox.users  # each with a session that is logged in
        sandbox.send_text(bob.id, alice.id, "hello")
        hole = sandbox.faults.set(Fault("blackhole", method="raw", user=alice.id))
        ...
        sandbox.faults.clear(hole)
        sandbox.chat(alice.id, bob.id)  # what her account holds
        team = sandbox.rooms.create_channel(alice.id, [bob.id], "Team")
        sandbox.send_text(bob.id, team.peer, "groups and channels go by their marked ids")

The rooms within, highest first::

    opening serve control      what one opens, from a process, a command line, a socket
    sandbox rooms              what one does with it
    proxies proxy_lines        what may stand between a client and it
    connection                 one client: wire framing / handshake / envelope unpacking / outbox packing
    clerk requests/            one request under the faults that are set, and what it does
    protocol rivals            MTProto's own messages; two connections with one key
    membership invites         who is in which group or channel
    blocking                   who writes to whom no more
    chat_actions profile       what they, and users, are called and look like
    reacting pinning forwarding  what is done with messages that are there
    post channel_post          messages in mailboxes, and in channels
    files media phone_files    files: parts and contents, what messages carry, users who send them
    two_step scanning bots     passwords, QR codes (login_tokens), and bots' tokens
    takeouts                   who exports what an account holds
    telling *views             who is told, and what he sees
    cloud                      all that is remembered: accounts mailbox groups channels auth_keys faults

It shares nothing with the rest of tgworker: server and client must not agree by sharing our mistakes. Time
that passes is trio's, so that all of it works under a mock clock; dates come from a calendar that is given.
"""

from tgworker.sandbox.behaviour import Behaviour
from tgworker.sandbox.control_client import SandboxControl, open_control
from tgworker.sandbox.errors import (
    ControlLost,
    ControlRefused,
    KeyFileUnusable,
    PortTaken,
    SandboxError,
    UnknownPeer,
    UnknownUser,
)
from tgworker.sandbox.faults import Action, ActiveFault, Fault, Faults, Heals
from tgworker.sandbox.formatting import Formatting
from tgworker.sandbox.limits import Limits, Rate
from tgworker.sandbox.opening import open_sandbox
from tgworker.sandbox.phone_files import PhoneFile
from tgworker.sandbox.proxies import Proxies, SandboxProxy, Trouble
from tgworker.sandbox.rooms import Rooms
from tgworker.sandbox.sandbox import Sandbox
from tgworker.sandbox.serve import run_sandbox
from tgworker.sandbox.server_key import ServerKey
from tgworker.sandbox.statistics import Statistics
from tgworker.sandbox.values import (
    ChatLine,
    ChatSummary,
    Revocation,
    SandboxBot,
    SandboxRoom,
    SandboxUser,
    SentText,
    TakeoutSession,
)

__all__ = [
    "Action",
    "ActiveFault",
    "Behaviour",
    "ChatLine",
    "ChatSummary",
    "ControlLost",
    "ControlRefused",
    "Fault",
    "Faults",
    "Formatting",
    "Heals",
    "KeyFileUnusable",
    "Limits",
    "PhoneFile",
    "PortTaken",
    "Proxies",
    "Rate",
    "Revocation",
    "Rooms",
    "Sandbox",
    "SandboxBot",
    "SandboxControl",
    "SandboxError",
    "SandboxProxy",
    "SandboxRoom",
    "SandboxUser",
    "SentText",
    "ServerKey",
    "Statistics",
    "TakeoutSession",
    "Trouble",
    "UnknownPeer",
    "UnknownUser",
    "open_control",
    "open_sandbox",
    "run_sandbox",
]
