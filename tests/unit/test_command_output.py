"""One command's outputs from many hosts: grouped, counted, and harmless on a terminal."""

import json
import threading
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kubenorn.command_output import (
    CommandOutput,
    LineStream,
    command_line,
    exit_code,
    group_outputs,
    output_report,
    print_groups,
    readable_lines,
    summary,
    without_text,
    write_output,
)
from kubenorn.errors import (
    HostsUnreachableError,
    HostsWrongError,
    InputWrongError,
    InterruptedByOperatorError,
)


def output(status: int = 0, stdout: str = "", stderr: str = "", seconds: float = 0.1) -> CommandOutput:
    return CommandOutput(status, stdout, stderr, seconds)


def printed(outputs: dict[str, CommandOutput], width: int = 80) -> str:
    made = StringIO()
    print_groups(Console(file=made, width=width, highlight=False), outputs)
    return made.getvalue()


class TestCommandLine:
    @pytest.mark.parametrize(
        ("words", "line"),
        [
            (["uptime"], "uptime"),
            (["ls /etc | wc -l"], "ls /etc | wc -l"),
            (["echo", "a b", "$HOME", "|"], "echo 'a b' '$HOME' '|'"),
            (["printf", ""], "printf ''"),
        ],
    )
    def test_words(self, words: list[str], line: str) -> None:
        assert command_line(words) == line

    @pytest.mark.parametrize("words", [[], [""], [" \n"], ["", " "]])
    def test_nothing_to_run(self, words: list[str]) -> None:
        with pytest.raises(InputWrongError, match="write it after --, such as"):
            command_line(words)


class TestGroups:
    def test_equal_outputs_are_together_whatever_time_they_took(self) -> None:
        outputs = {"m1": output(1), "m2": output(0, "x", seconds=1), "m3": output(0, "x", seconds=9)}
        assert [hosts for hosts, _ in group_outputs(outputs)] == [["m2", "m3"], ["m1"]]

    @pytest.mark.parametrize(
        "other", [output(1, "x", "y"), output(0, "z", "y"), output(0, "x", "z"), output(0, "y", "x")]
    )
    def test_any_difference_parts_them(self, other: CommandOutput) -> None:
        outputs = {"m1": output(0, "x", "y"), "m2": other}
        assert [hosts for hosts, _ in group_outputs(outputs)] == [["m1"], ["m2"]]

    def test_what_is_printed(self) -> None:
        outputs = {"m1": output(0, "a\tb\n\nc"), "m2": output(3, "a\n", "no\n"), "m3": output(0, "a\tb\n\nc")}
        shown = printed(outputs)
        assert shown == "m1, m3: exit 0\n  a     b\n  \n  c\n\nm2: exit 3\n  a\n! no\n\n"

    def test_how_it_ended_alone(self) -> None:
        outputs = {"m1": without_text(output(0, "a")), "m2": without_text(output(0, "b", "c"))}
        assert printed(outputs) == "m1, m2: exit 0\n\n"

    def test_one_that_was_ended(self) -> None:
        shown = printed({"m1": CommandOutput(124, "so far\n", "", 2.1, ended_after=2)})
        assert shown == "m1: not done within 2 s, so it was ended (exit 124)\n  so far\n\n"

    def test_long_lines_and_markup_stay_what_they_are(self) -> None:
        text = "[bold]" + "word " * 40 + "[/nothing] :smile: [link=x]"
        assert f"  {text}\n" in printed({"m1": output(0, text)}, width=40)


class TestReadableLines:
    @pytest.mark.parametrize(
        ("text", "lines"),
        [
            ("", []),
            ("\n", [""]),
            ("a\nb", ["a", "b"]),
            ("a\r\nb\r\n", ["a", "b"]),
            ("10%\r20%\r", ["10%", "20%"]),
            ("\x1b[1;31mred\x1b[0m", ["red"]),
            ("\x1b[2J\x1b]0;title\x07", ["\\x1b[2J\\x1b]0;title\\x07"]),
            ("\x1b\x1b[m[2J", ["\\x1b[2J"]),
            ("\x9b2J\x7f\x00", ["\\x9b2J\\x7f\\x00"]),
            ("a\x0bb\x0cc\x85d\u2028e", ["a\\x0bb\\x0cc\\x85d\\u2028e"]),
            ("\u202eevil\u2066", ["\\u202eevil\\u2066"]),
            ("名前\u3000é\tü ✓", ["名前\u3000é\tü ✓"]),
        ],
    )
    def test_text(self, text: str, lines: list[str]) -> None:
        assert readable_lines(text) == lines

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_nothing_steers_the_terminal(self, text: str) -> None:
        for line in readable_lines(text):
            assert not set(line) & {*map(chr, range(9)), *map(chr, range(10, 32)), *map(chr, range(127, 160))}


class TestStream:
    def test_lines_are_whole_and_behind_their_hosts(self) -> None:
        made = StringIO()
        stream = LineStream(Console(file=made, width=80, highlight=False), ["m1", "long-name"])
        stream.show("m1", "[red]x\x07", is_error=False)
        stream.show("long-name", "no\rway", is_error=True)
        stream.show("m1", "", is_error=False)
        assert made.getvalue() == ("m1        | [red]x\\x07\nlong-name ! no\nlong-name ! way\nm1        | \n")

    def test_threads_do_not_mix_their_lines(self) -> None:
        made = StringIO()
        stream = LineStream(Console(file=made, width=80, highlight=False), "abcd")

        def talk(name: str) -> None:
            for _ in range(100):
                stream.show(name, name * 200, is_error=False)

        threads = [threading.Thread(target=talk, args=[name]) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(made.getvalue().splitlines()) == sorted(f"{n} | {n * 200}" for n in "abcd" * 100)


UNREACHABLE, REFUSED, WRONG = HostsUnreachableError("x"), InputWrongError("x"), HostsWrongError("x")
INTERRUPTED = InterruptedByOperatorError("x")


@pytest.mark.parametrize(
    ("statuses", "failures", "line", "code"),
    [
        ([0, 1, 0], [], "3 hosts: 2 exited with 0, 1 with 1.", 1),
        ([0], [], "1 host: 1 exited with 0.", 0),
        ([12, 12, 2], [], "3 hosts: 1 exited with 2, 2 with 12.", 1),
        ([0, 1], [UNREACHABLE], "3 hosts: 1 exited with 0, 1 with 1, 1 out of reach.", 3),
        ([], [UNREACHABLE, REFUSED], "2 hosts: 1 out of reach, 1 could not run it.", 3),
        ([], [REFUSED], "1 host: 1 could not run it.", 2),
        ([0], [REFUSED], "2 hosts: 1 exited with 0, 1 could not run it.", 1),
        ([0], [WRONG], "2 hosts: 1 exited with 0, 1 could not run it.", 1),
        ([0], [UNREACHABLE, INTERRUPTED], "3 hosts: 1 exited with 0, 1 out of reach, 1 interrupted.", 130),
    ],
)
def test_summary_and_exit_code(statuses: list[int], failures: list[Exception], line: str, code: int) -> None:
    outputs = {f"m{number}": output(status) for number, status in enumerate(statuses)}
    failed = {f"f{number}": error for number, error in enumerate(failures)}
    assert (summary(outputs, failed), exit_code(outputs, failed)) == (line, code)


def test_what_was_ended_is_counted_apart() -> None:
    outputs = {"m1": CommandOutput(124, "", "", 2, ended_after=2), "m2": output(124)}
    assert summary(outputs, {}) == "2 hosts: 1 exited with 124, 1 not done in time."
    assert exit_code(outputs, {}) == 1


def test_report() -> None:
    assert output_report("id", {"m1": output(1, "o", "e")}, {"m2": "no."}) == {
        "command": "id",
        "hosts": {
            "m1": {"exit_status": 1, "stdout": "o", "stderr": "e", "seconds": 0.1, "ended_after": None},
            "m2": {"problem": "no."},
        },
    }


def test_what_a_command_said_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.touch(mode=0o644)
    write_output(path, output_report("cat key", {"m1": output(stdout="sëcret")}, {}))
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["hosts"]["m1"]["stdout"] == "sëcret"
    write_output(None, {})
