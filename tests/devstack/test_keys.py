"""JWTs: signed as RFC 7515 says, and read back only if they are ours and not over."""

import pytest

from tgworker.devstack import project_keys, sign
from tgworker.devstack.keys import claims_of

NOW = 1_800_000_000


def test_a_token_is_what_any_library_makes() -> None:
    """The signature was made with `openssl dgst -sha256 -hmac`."""
    assert sign("anon", secret="s" * 40, expires_at=NOW) == (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
        ".eyJpc3MiOiJ0Z3dvcmtlci1kZXYtc3RhY2siLCJyb2xlIjoiYW5vbiIsImV4cCI6MTgwMDAwMDAwMH0"
        ".yKrhGjBdhZ745ULnE8MBVwr8RZ4d4nbBbZMSMyCuSDA"
    )


def test_keys_are_the_same_for_every_stack() -> None:
    first, second = project_keys(), project_keys()
    assert first == second
    assert first.anon != first.service_role


def test_a_key_stands_for_a_jwt() -> None:
    keys = project_keys()
    assert [keys.jwt_for(key) for key in (keys.anon, keys.publishable)] == [keys.anon] * 2
    assert [keys.jwt_for(key) for key in (keys.service_role, keys.secret)] == [keys.service_role] * 2
    assert keys.jwt_for("sb_secret_of_another_project") is None


def test_claims_are_read_from_tokens_of_ours() -> None:
    claims = claims_of(sign("authenticated", expires_at=NOW + 1, sub="me"), now=NOW)
    assert claims is not None
    assert (claims["role"], claims["sub"]) == ("authenticated", "me")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "öäü",
        sign("anon", expires_at=NOW),
        sign("anon", secret="x" * 40),
        sign("anon") + "x",
        sign("anon").rpartition(".")[0],
        "sb_secret_of_another_project",
    ],
)
def test_others_are_none(token: str) -> None:
    assert claims_of(token, now=NOW) is None
