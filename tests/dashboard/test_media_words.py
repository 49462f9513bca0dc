"""The words of media have every name that the code may look up."""

from passerelle.dashboard.media_words import WORDS
from passerelle.media.chain import TAGS
from passerelle.media.model import Category, StoreName
from passerelle.media.progress import MigrationState


def test_every_store_category_and_state_has_its_words() -> None:
    looked_up = {f"store_{one}" for one in StoreName} | {f"category_{one}" for one in Category}
    looked_up |= {f"migration_{one}" for one in MigrationState}
    assert looked_up - WORDS.keys() == set()


def test_no_words_are_left_of_a_store_category_or_state_that_is_no_more() -> None:
    ends = {*StoreName, *Category, *MigrationState}
    kinds = ("store_", "category_", "migration_")
    assert {name for name in WORDS if name.startswith(kinds) and name.partition("_")[2] not in ends} == set()


def test_every_store_has_its_tag_in_the_log() -> None:
    assert {*TAGS} == {*StoreName}
