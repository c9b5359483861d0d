"""What a user is called and looks like: who hears of it, and under which names he is found."""

from typing import Any

import pytest
from telethon.tl import functions, types

from sandbox.mini_client import MiniClient, RpcFailure, open_mini
from sandbox.unmodified_files import PICTURE
from tgworker.sandbox import Sandbox, SandboxError


def updates(client: MiniClient) -> list[Any]:
    return [each for each in client.received if isinstance(each, types.Updates)]


async def test_those_who_know_a_user_hear_of_his_names(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    stranger = sandbox.add_user(stranger=True)
    device = sandbox.new_session(bob.id)
    async with (
        open_mini(sandbox, alice.session) as client,
        open_mini(sandbox, device) as other,
        open_mini(sandbox, stranger.session) as none,
    ):
        sandbox.phone.update_profile(bob.id, last_name="Stone")
        for each in (client, other):
            heard = await each.hear(types.UpdateUserName)
            assert (heard.user_id, heard.first_name, heard.last_name) == (bob.id, "User 1002", "Stone")
            (pushed,) = updates(each)
            assert [u.last_name for u in pushed.users if u.id == bob.id] == ["Stone"]
        sandbox.phone.update_profile(bob.id, last_name="Stone")  # it is so already
        sandbox.phone.update_username(bob.id, "Bob_Stone")
        heard = await client.hear(types.UpdateUserName, 2)
        assert [each.username for each in heard.usernames] == ["Bob_Stone"]
        found = await none.ask(functions.contacts.ResolveUsernameRequest("bob_stone"))
        assert (found.users[0].id, found.users[0].last_name) == (bob.id, "Stone")
        with pytest.raises(RpcFailure, match="USERNAME_NOT_OCCUPIED"):
            await none.ask(functions.contacts.ResolveUsernameRequest("user1002"))
        assert none.heard(types.UpdateUserName) == []
        assert [user.username for user in sandbox.users[:2]] == ["user1001", "Bob_Stone"]
        sandbox.phone.update_username(bob.id, "")
        assert (await client.hear(types.UpdateUserName, 3)).usernames == []


async def test_a_new_photo_is_told_and_shown(sandbox: Sandbox) -> None:
    alice, bob, _ = sandbox.users
    async with open_mini(sandbox, alice.session) as client:
        photo = sandbox.files.set_photo(bob.id, PICTURE)
        assert (await client.hear(types.UpdateUser)).user_id == bob.id
        (pushed,) = updates(client)
        assert [u.photo.photo_id for u in pushed.users if u.id == bob.id] == [photo]


async def test_names_that_are_none_are_refused(sandbox: Sandbox) -> None:
    alice, bob, _ = (user.id for user in sandbox.users)
    sandbox.rooms.create_channel(alice, [], "News", username="the_news")
    with pytest.raises(SandboxError, match="FIRSTNAME_INVALID"):
        sandbox.phone.update_profile(bob, first_name=" ")
    for username, refusal in (
        ("user1002", "USERNAME_NOT_MODIFIED"),
        ("the_news", "USERNAME_OCCUPIED"),
        ("USER1001", "USERNAME_OCCUPIED"),
        ("1two3", "USERNAME_INVALID"),
    ):
        with pytest.raises(SandboxError, match=refusal):
            sandbox.phone.update_username(bob, username)
    sandbox.phone.update_username(bob, "USER1002")  # in other letters it is another
