"""A sandbox in a process of its own that obeys one JSON command a line: ``cloud_run.py USERS [strangers]``.

The `sandbox` command's own control connection costs a round trip for each message; here a burst is one.
"""

import json
import sys
from functools import partial
from time import perf_counter
from typing import Any

import trio

from tgworker.sandbox import Fault, PhoneFile, Sandbox, open_sandbox
from tgworker.sandbox.contents import MadeContent

AT_ONCE = 50
"""Messages of a burst that are sent in one step; between two steps clients are served."""

TYPES = 10
"""One of so many people types, and the others come and go."""

LOOK_EVERY_S = 0.001
"""So often it is looked whether a text is there: the sandbox tells nobody."""


async def serve(users: int, *, strangers: bool) -> None:
    """Say where it is, then answer until the input ends."""
    async with open_sandbox(users=0 if strangers else users) as sandbox:
        for _ in range(users if strangers else 0):
            sandbox.add_user(stranger=True)
        people = [[user.id, user.session] for user in sandbox.users]
        say({"server": sandbox.server, "dc": sandbox.dc, "key": sandbox.public_key_pem, "users": people})
        async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stdin:
            rest = b""
            async for data in stdin:
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    say(await obey(sandbox, json.loads(line)))


async def obey(sandbox: Sandbox, command: dict[str, Any]) -> object:
    """Carry one command out."""
    match command:
        case {"do": "burst", "sender": sender, "recipient": recipient, "messages": messages}:
            for number in range(messages):
                sandbox.send_text(sender, recipient, f"burst {number}")
                if number % AT_ONCE == AT_ONCE - 1:
                    await trio.lowlevel.checkpoint()
        case {"do": "delivered"}:
            return sandbox.statistics().delivered
        case {"do": "send_made", "sender": sender, "recipient": recipient, "size": size}:
            file = PhoneFile("document", MadeContent(size), "made.bin")
            return sandbox.files.send(sender, recipient, file)[0].recipient_message_id
        case {"do": "digest", "user": user, "peer": peer, "message": message}:
            return sandbox.files.of(user, peer, message).sha256()
        case {"do": "arrival", "user": user, "peer": peer, "text": text}:
            return await arrival(sandbox, user, peer, text)
        case {"do": "presence", "to": to, "per_s": per_s, "seconds": seconds}:
            return await show_presence(sandbox, to, per_s, seconds)
        case {"do": "fault", "action": action, "method": method, "user": user}:
            return sandbox.faults.set(Fault(action, method=method, user=user))
        case {"do": "clear"}:
            return sandbox.faults.clear()
        case _:
            raise ValueError(f"what is {command}?")
    return None


async def arrival(sandbox: Sandbox, user: int, peer: int, text: str) -> float:
    """When a user has a text, by this machine's clock."""
    seen = 0
    while True:
        for line in sandbox.chat(user, peer, after=seen):
            if line.text == text:
                return perf_counter()
            seen = line.id
        await trio.sleep(LOOK_EVERY_S)


async def show_presence(sandbox: Sandbox, to: int, per_s: int, seconds: float) -> dict[str, Any]:
    """Let everybody but one come and go, and one of ten begin and stop to type to him, in turns.

    Returns:
        How much of it there was, how long it took, and who is there, or types, in the end.
    """
    people = [user.id for user in sandbox.users if user.id != to]
    typists = set(people[::TYPES])
    is_on = dict.fromkeys(people, False)
    began_s, done = perf_counter(), 0
    while done < per_s * seconds:
        due = min(per_s * seconds, per_s * (perf_counter() - began_s))
        while done < due:
            user = people[done % len(people)]
            is_on[user] = not is_on[user]
            if user in typists:
                sandbox.phone.set_typing(user, to, "typing" if is_on[user] else "cancel")
            else:
                sandbox.phone.update_status(user, offline=not is_on[user])
            done += 1
        await trio.sleep(LOOK_EVERY_S)
    took_s = perf_counter() - began_s
    online = [user for user in people if is_on[user] and user not in typists]
    types = [user for user in people if is_on[user] and user in typists]
    return {"shown": done, "took_s": took_s, "online": online, "types": types}


def say(answer: object) -> None:
    """One line of JSON."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    trio.run(partial(serve, int(sys.argv[1]), strangers="strangers" in sys.argv))
