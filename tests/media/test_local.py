"""Files on the local disk: in place, for their owner only, and nothing half-written."""

import asyncio
import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from passerelle.db import StorageFull
from passerelle.media.adapters.local import PAGE, LocalStore
from passerelle.media.files import _move, _part, fresh, give_other_name, unnamed, write_all
from passerelle.media.images import Images
from passerelle.media.model import Copy, FileRefused, NoSuchCopy, Spooled, StoreAway, StoreMisconfigured, StoreName
from passerelle.media.spool import Spool

from .growth import MOST_KIB, growth_kib
from .parts import bytes_of, in_pieces, keys_of
from .spooled import spooled
from servers import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.mission("B1"), pytest.mark.mission("B4")]

KEY = "view-once/u-1/1700000000000-01HF7YAT00AAAAAAAAAAAAAAAA.png"
DATA = bytes(range(256)) * 5000
SHM = Path("/dev/shm")  # noqa: S108 -- another disk than the one of tmp_path


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "media")


@pytest.fixture
async def taken(tmp_path: Path, images: Images) -> AsyncIterator[Spooled]:
    """A file as the real spool hands it on."""
    file = await Spool(tmp_path / "spool", 10**9, images=images).take(in_pieces(DATA))
    with file.file:
        yield file


async def test_the_spooled_file_itself_gets_the_name(store: LocalStore, taken: Spooled, tmp_path: Path) -> None:
    await store.put(taken, key=KEY)
    assert os.path.samestat((tmp_path / "media" / KEY).stat(), os.fstat(taken.file.fileno()))
    taken.file.close()
    assert (tmp_path / "media" / KEY).read_bytes() == DATA


async def test_a_file_that_lost_its_name_is_copied(store: LocalStore, tmp_path: Path) -> None:
    file = spooled(tmp_path, DATA)
    await store.put(file, key=KEY)
    assert not os.path.samestat((tmp_path / "media" / KEY).stat(), os.fstat(file.file.fileno()))
    assert (tmp_path / "media" / KEY).read_bytes() == DATA
    assert _everything(tmp_path / "media") == [KEY]


async def test_a_spool_on_another_disk_is_copied(taken: Spooled, tmp_path: Path) -> None:
    other = SHM / f"passerelle-{tmp_path.name}-{os.getpid()}"
    _need_another_disk(tmp_path)
    store = LocalStore(other)
    try:
        copy = await store.put(taken, key=KEY)
        assert await bytes_of(store, copy) == DATA
        assert _everything(other) == [KEY]
    finally:
        await store.delete(Copy(store=StoreName.LOCAL, key=KEY, size_bytes=0, content_type=""))
        other.rmdir()


async def test_only_the_owner_may_look(store: LocalStore, taken: Spooled, tmp_path: Path) -> None:
    for number, file in enumerate((taken, spooled(tmp_path, DATA))):
        await store.put(file, key=KEY.replace("u-1", f"u-{number}"))
    for path in [tmp_path / "media", *(tmp_path / "media").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


async def test_empty_folders_go_with_their_last_file(store: LocalStore, tmp_path: Path) -> None:
    copies = [await store.put(spooled(tmp_path, DATA), key=KEY.replace("u-1", f"u-{n}")) for n in range(2)]
    await store.delete(copies[0])
    assert sorted(path.name for path in (tmp_path / "media/view-once").iterdir()) == ["u-1"]
    await store.delete(copies[1])
    assert list((tmp_path / "media").iterdir()) == []


async def test_no_folder_is_taken_away_from_who_is_about_to_put_a_file_there(store: LocalStore, tmp_path: Path) -> None:
    copy = await store.put(spooled(tmp_path, DATA), key=KEY)
    with store._locked(fcntl.LOCK_SH):
        await store.delete(copy)
    assert _everything(tmp_path / "media", folders=True) == ["view-once", "view-once/u-1"]
    with store._locked(fcntl.LOCK_EX):
        putting = asyncio.create_task(store.put(spooled(tmp_path, DATA), key=KEY))
        await asyncio.wait([putting], timeout=0.1)
        assert not putting.done()
    await store.delete(await putting)
    assert _everything(tmp_path / "media", folders=True) == []


async def test_a_list_of_several_pages_misses_nothing(store: LocalStore, tmp_path: Path) -> None:
    folder = tmp_path / "media/view-once/u-1"
    folder.mkdir(parents=True)
    for number in range(2 * PAGE + 3):
        (folder / f"{number:013}-a.png").touch()
    assert len(await keys_of(store)) == 2 * PAGE + 3


async def test_no_symbolic_link_is_followed(store: LocalStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    folder = tmp_path / "media/view-once/u-1"
    folder.mkdir(parents=True)
    (tmp_path / "media" / KEY).symlink_to(secret)
    copy = Copy(store=StoreName.LOCAL, key=KEY, size_bytes=6, content_type="image/png")
    with pytest.raises(StoreMisconfigured):
        await bytes_of(store, copy)
    with pytest.raises(StoreMisconfigured):
        await store.put(spooled(tmp_path, b"secret"), key=KEY)
    assert await keys_of(store) == []
    assert secret.read_bytes() == b"secret"


async def test_no_folder_that_is_a_symbolic_link_is_entered(store: LocalStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere/u-1"
    elsewhere.mkdir(parents=True)
    (elsewhere / KEY.rpartition("/")[2]).write_bytes(b"secret")
    (tmp_path / "media").mkdir()
    (tmp_path / "media/view-once").symlink_to(tmp_path / "elsewhere")
    copy = Copy(store=StoreName.LOCAL, key=KEY, size_bytes=6, content_type="image/png")
    for wish in (bytes_of(store, copy), store.put(spooled(tmp_path, DATA), key=KEY), store.delete(copy)):
        with pytest.raises(StoreMisconfigured):
            await wish
    assert await keys_of(store) == []
    assert (elsewhere / KEY.rpartition("/")[2]).read_bytes() == b"secret"


async def test_the_folder_itself_may_be_a_symbolic_link_of_the_operator(tmp_path: Path) -> None:
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "media").symlink_to(tmp_path / "large-disk")
    store = LocalStore(tmp_path / "media")
    copy = await store.put(spooled(tmp_path, DATA), key=KEY)
    assert await bytes_of(store, copy) == DATA
    assert await keys_of(store) == [KEY]


async def test_a_pipe_in_the_place_of_a_file_holds_nobody(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "media/view-once/u-1").mkdir(parents=True)
    os.mkfifo(tmp_path / "media" / KEY)
    copy = Copy(store=StoreName.LOCAL, key=KEY, size_bytes=6, content_type="image/png")
    async with asyncio.timeout(5):
        with pytest.raises(StoreMisconfigured):
            await bytes_of(store, copy)
    assert await keys_of(store) == []


async def test_a_file_that_gets_shorter_while_it_is_read_is_noticed(store: LocalStore, taken: Spooled) -> None:
    copy = await store.put(taken, key=KEY)
    with pytest.raises(StoreAway, match="cannot be reached"):
        await _read_while(store, copy, lambda: os.ftruncate(taken.file.fileno(), len(DATA) - 1))


async def test_a_reader_who_goes_away_while_it_is_opened_leaves_nothing_open(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        store = LocalStore(tmp_path / "media", threads=threads)
        copy = await store.put(spooled(tmp_path, DATA), key=KEY)
        for is_there in (True, False):
            slow = threading.Event()
            threads.submit(slow.wait)
            reading = asyncio.create_task(bytes_of(store, copy))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            slow.set()
            await asyncio.get_running_loop().run_in_executor(threads, int)  # what was begun before is over
            await eventually(lambda: KEY not in _open_files(), "a file that nobody reads is closed")
            if is_there:
                await store.delete(copy)


async def test_a_file_where_the_folder_should_be_is_the_operators_to_mend(tmp_path: Path) -> None:
    (tmp_path / "media").write_text("no folder")
    store = LocalStore(tmp_path / "media")
    with pytest.raises((StoreMisconfigured, StoreAway)):
        await store.put(spooled(tmp_path, DATA), key=KEY)


async def test_a_store_without_its_folder_has_nothing(store: LocalStore, tmp_path: Path) -> None:
    copy = Copy(store=StoreName.LOCAL, key=KEY, size_bytes=6, content_type="image/png")
    assert await keys_of(store) == []
    await store.delete(copy)
    with pytest.raises(NoSuchCopy):
        await bytes_of(store, copy)
    assert not (tmp_path / "media").exists()


async def test_a_full_disk_keeps_nothing_half(small_disk: Path, tmp_path: Path) -> None:
    store = LocalStore(small_disk / "media")
    small = await store.put(spooled(tmp_path, b"small"), key=KEY)
    with pytest.raises(StorageFull):
        await store.put(spooled(tmp_path, DATA), key=KEY.replace("u-1", "u-2"))
    assert await keys_of(store) == [KEY]
    assert _everything(small_disk / "media") == [KEY]
    assert await bytes_of(store, small) == b"small"


def test_a_limit_of_the_process_keeps_nothing_half(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _LIMITED, str(tmp_path), str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "StorageFull []\n"), done.stderr


def test_a_copy_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="on purpose"), fresh(folder) as (fd, _):  # noqa: PT012 -- inside
            write_all(fd, DATA)
            raise OSError(errno.EIO, "on purpose")
    finally:
        os.close(folder)
    assert _everything(tmp_path) == []


@pytest.mark.parametrize("name_it", [give_other_name, _move])
def test_on_a_disk_without_unnamed_files_a_hidden_name_serves(
    tmp_path: Path, name_it: Callable[[str, int, str], None]
) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        for error in (None, FileExistsError):
            with pytest.raises(error) if error else nullcontext(), _part(folder) as (fd, part):
                assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [part]
                write_all(fd, DATA)
                name_it(part, folder, "kept.png")
            assert [path.name for path in tmp_path.iterdir()] == ["kept.png"]
            assert (tmp_path / "kept.png").read_bytes() == DATA
    finally:
        os.close(folder)


def test_an_unnamed_file_has_no_name(tmp_path: Path) -> None:
    fd = unnamed(tmp_path)
    try:
        write_all(fd, DATA)
        assert _everything(tmp_path) == []
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
    finally:
        os.close(fd)


async def test_another_file_of_the_same_size_is_told_apart(store: LocalStore, tmp_path: Path) -> None:
    await store.put(spooled(tmp_path, DATA), key=KEY)
    with pytest.raises(FileRefused) as refused:
        await store.put(spooled(tmp_path, DATA[::-1]), key=KEY)
    assert refused.value.reason == "another file has this name"


def test_the_memory_of_a_file_does_not_grow_with_it(tmp_path: Path) -> None:
    make = "from passerelle.media.adapters.local import LocalStore\ntell(lambda folder: LocalStore(folder / 'media'))"
    assert growth_kib(tmp_path, make) < MOST_KIB


async def _read_while(store: LocalStore, copy: Copy, something_happens: Callable[[], None]) -> None:
    async with store.read(copy) as pieces:
        assert await anext(pieces)
        something_happens()
        async for _ in pieces:
            pass


def _need_another_disk(folder: Path) -> None:
    if not SHM.is_dir() or SHM.stat().st_dev == folder.stat().st_dev:
        pytest.skip("there is no other disk here")


def _open_files() -> str:
    return "\n".join(str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink())


def _everything(folder: Path, *, folders: bool = False) -> list[str]:
    found = [path for path in folder.rglob("*") if folders or not path.is_dir()]
    return sorted(path.relative_to(folder).as_posix() for path in found)


_LIMITED = f"""
import asyncio, pathlib, resource, sys
sys.path[:0] = [sys.argv[2]]
from media.spooled import spooled
from passerelle.db import StorageFull
from passerelle.media.adapters.local import LocalStore

async def main(folder):
    file = spooled(folder, bytes(1 << 20))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
    store = LocalStore(folder / "media")
    try:
        await store.put(file, key="{KEY}")
    except StorageFull as error:
        print(type(error).__name__, [copy async for copy in store.list("")])

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""
