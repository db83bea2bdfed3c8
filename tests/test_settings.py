"""What is refused before anything is sent: the key, the constants, the address, the arguments."""

from typing import Any

import pytest
from conftest import Play, listed
from mock_group_api import API_KEY


@pytest.mark.parametrize("key", [None, "", " \n\t"], ids=["not set", "empty", "blank"])
def test_a_missing_key(play: Play, key: str | None) -> None:
    """The error names the variable and the command that sets it."""
    run = play(env={"INFERENCE_API_KEY": key})

    assert run.err.startswith("Error: ")
    assert "export INFERENCE_API_KEY=" in run.err
    assert run.err.count("\n") <= 2
    assert (run.status, run.out, run.calls) == (1, "", [])


@pytest.mark.parametrize("key", ['"quoted-key"', "'quoted-key'", "two words", "a\nb", "schlüssel"])
def test_a_key_that_cannot_be_one(play: Play, key: str) -> None:
    """The error says that it is set but is no key, and most likely quoted; it does not show it."""
    run = play(env={"INFERENCE_API_KEY": key})

    assert run.err.startswith("Error: ")
    assert "INFERENCE_API_KEY" in run.err
    assert "quotes" in run.err
    assert "export" not in run.err
    assert key not in run.err
    assert (run.status, run.out, run.calls) == (1, "", [])


def test_drops_blanks_around_the_key(play: Play) -> None:
    """A key pasted with a blank before it and a newline after it works."""
    run = play(listed("Success"), NUM_REQUESTS=1, env={"INFERENCE_API_KEY": f" {API_KEY}\r\n"})

    assert run.calls[0].headers["authorization"] == f"Bearer {API_KEY}"
    assert run.status == 0


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("NUM_REQUESTS", 0, "1 to 50"),
        ("NUM_REQUESTS", 51, "1 to 50"),
        ("NUM_REQUESTS", -1, "1 to 50"),
        ("MODEL_ID", "", "model"),
        ("MODEL_ID", " ", "model"),
        ("POLL_INTERVAL_SECONDS", 0, "above 0"),
        ("POLL_INTERVAL_SECONDS", -0.5, "above 0"),
        ("POLL_INTERVAL_SECONDS", 1e300, "above 0"),
        ("MAX_POLL_ATTEMPTS", 0, "at least 1"),
        ("MAX_POLL_ATTEMPTS", -1, "at least 1"),
    ],
)
def test_an_impossible_constant(play: Play, name: str, value: Any, rule: str) -> None:
    """One line names the constant and what it may be."""
    run = play(**{name: value})

    assert run.err.startswith("Error: ")
    assert name in run.err
    assert rule in run.err
    assert run.err.count("\n") == 1
    assert (run.status, run.out, run.calls) == (1, "", [])


@pytest.mark.parametrize(
    "base_url",
    [
        "nonsense",
        "api.inference.net",
        "ftp://api.inference.net",
        "https://",
        "https:///v1",
        "https://api inference.net",
        "https://api.inference.net?x=1",
        "https://api.inference.net/#here",
        "https://api.inference.net:port",
    ],
)
def test_an_impossible_base_url(play: Play, base_url: str) -> None:
    """One line names the variable and says what it may be."""
    run = play(env={"INFERENCE_BASE_URL": base_url})

    assert run.err.startswith("Error: ")
    assert "INFERENCE_BASE_URL" in run.err
    assert "https://api.inference.net" in run.err
    assert run.err.count("\n") == 1
    assert (run.status, run.out, run.calls) == (1, "", [])


@pytest.mark.parametrize(
    ("base_url", "start"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://gateway.example/", "https://gateway.example"),
        ("https://gateway.example/inference", "https://gateway.example/inference"),
        ("https://gateway.example/a/b-1/", "https://gateway.example/a/b-1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://[::FFFF:127.0.0.1]:8000", "http://[::FFFF:127.0.0.1]:8000"),
        (" https://gateway.example\n", "https://gateway.example"),
    ],
)
def test_a_possible_base_url(play: Play, base_url: str, start: str) -> None:
    """A port, an IPv6 address, a path as gateways have and a final slash are all right."""
    run = play(listed("Success"), NUM_REQUESTS=1, env={"INFERENCE_BASE_URL": base_url})

    assert [str(call.url) for call in run.calls] == [
        f"{start}/v1/async/group/chat/completions",
        f"{start}/v1/async/group/group/generations",
    ]
    assert run.status == 0


@pytest.mark.parametrize("base_url", [None, "", " "], ids=["not set", "empty", "blank"])
def test_the_default_base_url(play: Play, base_url: str | None) -> None:
    """It is the API's own."""
    run = play(listed("Success"), NUM_REQUESTS=1, env={"INFERENCE_BASE_URL": base_url})

    assert {(call.url.scheme, call.url.netloc) for call in run.calls} == {
        ("https", b"api.inference.net")
    }


# The command line


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("",), id="an unset shell variable"),
        pytest.param((" ",), id="a blank"),
        pytest.param((".",), id="another path"),
        pytest.param(("..",), id="yet another path"),
        pytest.param(("group", "0"), id="size 0"),
        pytest.param(("group", "51"), id="size 51"),
        pytest.param(("group", "ten"), id="size in words"),
        pytest.param(("group", "2.5"), id="half a request"),
        pytest.param(("group", "2", "more"), id="too many"),
        pytest.param(("--submit",), id="no such option"),
    ],
)
def test_wrong_usage(play: Play, arguments: tuple[str, ...]) -> None:
    """It ends with status 2 and a word on the usage, and above all does not submit a group."""
    run = play(arguments=arguments)

    assert run.err.startswith("usage: ")
    assert (run.status, run.out, run.calls) == (2, "", [])


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(play: Play, option: str) -> None:
    """It names both ways to run the script and both variables, and needs no key."""
    run = play(arguments=(option,), env={"INFERENCE_API_KEY": None})

    words = " ".join(run.out.split())
    assert "uv run async_polling_example.py " in words
    assert "uv run async_polling_example.py GROUP_ID [SIZE] " in words
    assert "INFERENCE_API_KEY" in words
    assert "INFERENCE_BASE_URL" in words
    assert (run.status, run.err, run.calls) == (0, "", [])


def test_help_fits(play: Play) -> None:
    """It has no line of more than 80 columns, and no word that goes on in the next."""
    lines = play(arguments=("--help",), env={"COLUMNS": "80"}).out.splitlines()

    assert lines[0].startswith("usage: ")
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.endswith("-")]
