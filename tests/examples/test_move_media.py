"""The example `move_media`, between two clouds that stand here."""

import runpy
from pathlib import Path

import pytest

from acceptance.gateway import clean_environment
from media.both import cloudinary_settings, in_background, supabase_settings
from media.cloudinary_double import CloudinaryDouble
from media.supabase_double import SupabaseDouble

from servers import free_port
from tables import copy_tables

EXAMPLE = Path(__file__).parents[2] / "examples" / "move_media" / "main.py"


@pytest.mark.mission("B6")
def test_every_file_moves_though_the_gateway_is_killed_and_no_original_leaves_unasked(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    copy_tables(data_dir)
    example = runpy.run_path(str(EXAMPLE))
    files = example["FILES"]
    said: list[str] = []
    with in_background(SupabaseDouble()) as supabase, in_background(CloudinaryDouble()) as cloudinary:
        stores = supabase_settings(supabase) | cloudinary_settings(cloudinary)
        ours = {"PASSERELLE_DATA_DIR": str(data_dir), "PASSERELLE_PORT": str(free_port())}
        example["run"](clean_environment(ours | {name.upper(): value for name, value in stores.items()}), said.append)
        assert len(cloudinary.assets) == len(supabase.objects) == files
    told = "\n".join(said)
    assert f"{files} files, 480.0 kB to move; nothing was touched." in told
    assert said[-4].startswith("   ✅ done: ")
    moved = int(said[-4].split()[2])
    assert 0 < moved < files, "it was not killed half-way"
    assert said[-3:] == [
        f"4. All {files} were downloaded from Cloudinary: each has the SHA-256 that it had.",
        f"5. {files} originals are still at Supabase. They leave when that is asked for:",
        f"   ✅ done: 0 moved, 0 imported, {files} already there, 0 refused, 0 failed, {files} earlier originals leave",
    ]
