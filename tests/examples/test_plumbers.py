"""The example of the plumbers, on a real gateway."""

import runpy
from pathlib import Path

from acceptance.gateway import Gateway
from passerelle.client import Client

from tables import copy_tables

EXAMPLE = Path(__file__).parents[2] / "examples" / "plumbers" / "main.py"


def test_the_plumber_is_told_at_the_second_try(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    copy_tables(data_dir)
    example = runpy.run_path(str(EXAMPLE))
    said: list[str] = []
    with Gateway(data_dir, env={"PASSERELLE_RETRY_DELAY": "1s"}) as gateway:
        url = str(gateway.http.base_url)
        with Client(url) as client:
            example["let_a_send_fail"](client)
            example["run"](client, said.append)
    assert said[2:5] == [
        "Paul confirms: the lead is assigned, whatever WhatsApp does.",
        "Telling Nadia: pending after attempt 1.",
        "Telling Nadia: whatsapp_sent after attempt 2.",
    ]
    assert "+33639980023" in said[5].replace(" ", "")
    assert "A tap drips." in said[5]
