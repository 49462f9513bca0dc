"""``passerelle send``: one message, or a file of them, and what a person sees of it."""

import json
from pathlib import Path

import pytest

from acceptance.gateway import Gateway, command_line, somebody

Sent = tuple[int, str, str]


class Desk:
    """Somebody at a terminal beside a running gateway, with a linked phone."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.user, self.phone = somebody()
        gateway.link(self.user, self.phone)

    def send(self, *words: str) -> Sent:
        """What ``send USER …`` ends with: exit code, what it says, what it complains of."""
        env = {"PASSERELLE_DATA_DIR": str(self.gateway.data_dir)}
        done = command_line("send", self.user, *words, cwd=self.folder, env=env)
        assert "Traceback" not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    def csv(self, *lines: str) -> str:
        path = self.folder / "people.csv"
        path.write_text("\n".join(lines), "utf-8")
        return str(path)

    def arrived(self, phone: str) -> list[str]:
        answer = self.gateway.http.get(f"/sandbox/phones/{phone}/messages")
        return [item["text"] for item in answer.json()["items"]]


@pytest.fixture
def desk(embedded: Gateway, tmp_path: Path) -> Desk:
    return Desk(embedded, tmp_path)


@pytest.mark.mission("Z2")
def test_one_message_is_followed_until_whatsapp_has_it(desk: Desk) -> None:
    _, friend = somebody()
    code, said, complaint = desk.send(friend, "Good morning")
    assert (code, complaint) == (0, "")
    assert said.startswith("✅ msg_")
    assert desk.arrived(friend) == ["Good morning"]


@pytest.mark.mission("Z2")
def test_a_program_reads_json(desk: Desk) -> None:
    _, friend = somebody()
    code, said, _ = desk.send(friend, "For a program", "--json")
    assert code == 0
    assert json.loads(said)["to"] == friend


@pytest.mark.mission("Z2")
def test_a_message_that_fails_says_why_and_ends_with_1(desk: Desk) -> None:
    desk.gateway.fault("not_on_whatsapp", desk.phone)
    code, said, _ = desk.send(somebody()[1], "Hello")
    assert code == 1
    assert "❌" in said
    assert "not_on_whatsapp" in said


@pytest.mark.mission("B9")
def test_a_scheduled_message_is_written_down_and_not_waited_for(desk: Desk) -> None:
    _, friend = somebody()
    code, said, _ = desk.send(friend, "Later", "--at", "2027-01-01T08:00:00+01:00")
    assert code == 0
    assert "pending, due 2027-01-01T07:00:00Z" in said
    assert desk.arrived(friend) == []


@pytest.mark.mission("Z2")
def test_a_file_is_sent_line_by_line_and_a_second_time_not_at_all(desk: Desk) -> None:
    (_, one), (_, two) = somebody(), somebody()
    path = desk.csv("to,text", f"{one},Dear one", f"{two},Dear two")
    for _ in range(2):
        code, _, told = desk.send("--csv", path)
        assert code == 0
        assert told.startswith("2 messages: ")
    assert (desk.arrived(one), desk.arrived(two)) == (["Dear one"], ["Dear two"])


@pytest.mark.mission("Z2")
def test_a_wrong_line_of_a_file_is_named_and_nothing_of_it_is_sent(desk: Desk) -> None:
    _, one = somebody()
    code, _, told = desk.send("--csv", desk.csv("to,text", f"{one},Dear one", "nobody,Dear two"))
    assert code == 1
    assert "line 3" in told
    assert desk.arrived(one) == []


@pytest.mark.parametrize(("wrong", "code"), [("nobody,Dear two", 1), ("nobody,", 2)])
def test_the_line_that_is_named_is_that_of_the_file_also_behind_blank_and_long_ones(
    desk: Desk, wrong: str, code: int
) -> None:
    lines = ("to,text", f'{somebody()[1]},"Dear', 'one"', "", wrong)
    ended, _, told = desk.send("--csv", desk.csv(*lines))
    assert ended == code
    assert "line 5" in told


@pytest.mark.mission("Z2")
@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["abc", "Hello"], 1, "to must be a phone number"),
        ([], 2, "TO and TEXT"),
        (["+33639980002", "Hello", "--at", "tomorrow"], 2, "not a time"),
        (["--csv", "missing.csv"], 2, "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(desk: Desk, words: list[str], code: int, complaint: str) -> None:
    ended, _, told = desk.send(*words)
    assert ended == code
    assert complaint in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.mission("Z2")
def test_a_user_without_a_phone_is_told(embedded: Gateway, tmp_path: Path) -> None:
    env = {"PASSERELLE_DATA_DIR": str(embedded.data_dir)}
    done = command_line("send", "nobody_here", "+33639980002", "Hello", cwd=tmp_path, env=env)
    assert done.returncode == 1
    assert "No phone was ever linked for this user" in done.stderr


@pytest.mark.mission("Z2")
def test_a_corrected_file_repeats_nothing_that_was_written_down(desk: Desk) -> None:
    people = [somebody()[1] for _ in range(501)]
    lines = ["to,text", *(f"{phone},Hello" for phone in people)]
    code, _, told = desk.send("--csv", desk.csv(*lines[:-1], "nobody,Hello"))
    assert code == 1
    assert "line 502" in told
    code, _, _ = desk.send("--csv", desk.csv(*lines))
    assert code == 0
    assert [desk.arrived(phone) for phone in (people[0], people[499], people[500])] == [["Hello"]] * 3
