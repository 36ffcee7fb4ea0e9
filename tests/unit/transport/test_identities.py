"""The order in which keys are offered, and public halves read from files that ssh-keygen wrote."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from mlxops.transport.identities import Identity, Offer, find_identities, order_offers

A, B, C = Identity("/a", b"A"), Identity("/b", b"B"), Identity("/c", b"")


@pytest.mark.parametrize(
    ("files", "agent", "only", "offers"),
    [
        ([], [], False, []),
        ([A, B], [], False, [Offer(None, "/a"), Offer(None, "/b")]),
        ([A, B], [b"X", b"B"], False, [Offer(1, "/b"), Offer(0, None), Offer(None, "/a")]),
        ([A, B], [b"X", b"B"], True, [Offer(1, "/b"), Offer(None, "/a")]),
        ([C], [b"X"], True, [Offer(None, "/c")]),
        ([], [b"X"], True, []),
    ],
)
def test_order(files: list[Identity], agent: list[bytes], only: bool, offers: list[Offer]) -> None:
    assert order_offers(files, agent, only) == offers


@pytest.mark.openssh
@pytest.mark.parametrize("passphrase", ["", "secret"])
@pytest.mark.parametrize("keep_public", [True, False])
def test_public_half_is_found_even_of_an_encrypted_key(
    tmp_path: Path, passphrase: str, keep_public: bool
) -> None:
    key = tmp_path / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(key)], check=True
    )
    public = tmp_path / "id.pub"
    blob = base64.b64decode(public.read_text().split()[1])
    if not keep_public:
        public.unlink()
    assert find_identities([str(key), str(key), str(tmp_path / "absent")]) == [
        Identity(str(key), blob)
    ]


@pytest.mark.openssh
def test_private_half_may_live_in_an_agent_only(tmp_path: Path) -> None:
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    key.unlink()
    assert [identity.path for identity in find_identities([str(key)])] == [str(key)]


def test_pem_and_rubbish_have_no_public_half_of_their_own(tmp_path: Path) -> None:
    pem, rubbish = tmp_path / "pem", tmp_path / "rubbish"
    pem.write_text("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")
    rubbish.write_bytes(b"\xff\x00 what\n")
    assert [identity.public for identity in find_identities([str(pem), str(rubbish)])] == [b"", b""]
