"""Which file of a bucket an address is about."""

import pytest

from passerelle.media.adapters.supabase_addresses import key_of

PROJECT = "https://abcdefgh.supabase.co"


@pytest.mark.parametrize(
    "address",
    [
        f"{PROJECT}/storage/v1/object/public/media/a%20b/%C3%A9.jpg",
        f"{PROJECT}/storage/v1/object/sign/media/a%20b/%C3%A9.jpg?token=x.y.z",
        f"{PROJECT}/storage/v1/object/authenticated/media/a b/é.jpg",
        f"{PROJECT}/storage/v1/object/media/a%20b/é.jpg",
        f"{PROJECT}/storage/v1/render/image/public/media/a%20b/é.jpg?width=100",
        "https://ABCDEFGH.storage.supabase.co/storage/v1/object/public/media/a%20b/é.jpg",
    ],
)
def test_every_way_to_write_it_leads_to_the_key(address: str) -> None:
    assert key_of(address, url=f"{PROJECT}/", bucket="media") == "a b/é.jpg"


@pytest.mark.parametrize(
    "address",
    [
        f"{PROJECT}/storage/v1/object/public/other/a.jpg",
        f"{PROJECT}/storage/v1/object/public/media/",
        f"{PROJECT}/rest/v1/media/a.jpg",
        "https://ijklmnop.supabase.co/storage/v1/object/public/media/a.jpg",
        "https://[",
        "a.jpg",
    ],
)
def test_anything_else_is_no_file_of_it(address: str) -> None:
    assert key_of(address, url=PROJECT, bucket="media") is None
