"""What is refused before anything is sent: the key, the constants, the address, the arguments."""

import os

import pytest
from conftest import MainRunner, Runner, client_of
from mock_group_api import API_KEY, MockGroupApi

import async_polling_example as sample

NOT_TO_BE_CALLED = client_of(lambda request: pytest.fail("something was sent"))


@pytest.mark.parametrize("key", ["", " \n\t"], ids=["no key", "blank"])
def test_a_missing_key(run_sample: Runner, key: str) -> None:
    """One line names the variable and the command that sets it."""
    with MockGroupApi() as api:
        run = run_sample(api, env={"INFERENCE_API_KEY": key})

    assert run.stderr == (
        "Error: No usable key. Set it with: export INFERENCE_API_KEY=your-api-key-here\n"
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert api.headers == []


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "nul\0"])
def test_an_impossible_key(run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A key that no HTTP header can hold is refused, and not shown."""
    monkeypatch.setattr(sample, "API_KEY", key)
    run = run_main(client=NOT_TO_BE_CALLED)

    assert "INFERENCE_API_KEY" in run.err
    assert key not in run.err
    assert run.status == 1


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        *[
            ("NUM_REQUESTS", value, "a whole number from 1 to 50")
            for value in (0, 51, -1, 1.5, 10.0, "10", None, True)
        ],
        *[("MODEL_ID", value, "the name of a model") for value in ("", " ", None, 7)],
        *[
            ("POLL_INTERVAL_SECONDS", value, "a number above 0")
            for value in (0, -2, "2", None, float("nan"), float("inf"))
        ],
        *[
            ("MAX_POLL_ATTEMPTS", value, "a whole number above 0")
            for value in (0, -1, 1.5, "120", None)
        ],
    ],
)
def test_an_impossible_constant(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, name: str, value: object, rule: str
) -> None:
    """One line names the constant and what it may be."""
    monkeypatch.setattr(sample, name, value)

    assert run_main(client=NOT_TO_BE_CALLED) == (1, "", f"Error: {name} must be {rule}.\n")


def test_an_edited_constant(run_sample: Runner) -> None:
    """The same, edited in the script as a user does it."""
    with MockGroupApi() as api:
        run = run_sample(api, NUM_REQUESTS=51)

    assert run.stderr == "Error: NUM_REQUESTS must be a whole number from 1 to 50.\n"
    assert run.returncode == 1
    assert api.headers == []


@pytest.mark.parametrize(
    "base_url",
    [
        "nonsense",
        "api.inference.net",
        "ftp://api.inference.net",
        "https://",
        "https://api.inference.net/v1",
        "https://api.inference.net?x=1",
        "https://user:password@api.inference.net",
        "https://api..inference.net",
        "https://api inference.net",
        f"https://{'a' * 64}.net",
    ],
)
def test_an_impossible_base_url(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    """One line names the variable and says what it may be."""
    monkeypatch.setattr(sample, "BASE_URL", base_url)

    expected = "Error: INFERENCE_BASE_URL must be like https://api.inference.net, with no path.\n"
    assert run_main(client=NOT_TO_BE_CALLED) == (1, "", expected)


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:8000/", "https://gateway.acme.example", "http://[::1]:8000"]
)
def test_a_possible_base_url(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    """Plain HTTP, a port, an IPv6 address and a final slash are all right."""
    monkeypatch.setattr(sample, "BASE_URL", base_url)

    sample.check_settings()


def test_a_blank_base_url_is_the_default(run_sample: Runner) -> None:
    """A variable that is set to nothing is as if it were not set."""
    run = run_sample(" ", env={"HTTPS_PROXY": "http://127.0.0.1:9"})

    assert "No connection to https://api.inference.net: " in run.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "SOCKS proxy"),
        ("HTTPS_PROXY", "gopher://127.0.0.1:1", "Unknown scheme for proxy URL"),
        ("SSL_CERT_FILE", "/nowhere", "No such file"),
    ],
)
def test_broken_proxy_and_certificate_settings(
    run_main: MainRunner, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """What httpx cannot make a client of is an error that names the variable."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, value)
    run = run_main()

    assert words in run.err
    assert variable in run.err.splitlines()[1]
    assert run.status == 1


@pytest.mark.parametrize(
    "arguments",
    [[""], [" \n"], ["."], [".."], [API_KEY], ["one", "two"], ["--submit"]],
    ids=["an unset shell variable", "blank", "dot", "dots", "the key", "two", "an option"],
)
def test_wrong_usage(run_main: MainRunner, arguments: list[str]) -> None:
    """What is no group id ends with status 2, and above all does not submit a new group."""
    run = run_main(*arguments, client=NOT_TO_BE_CALLED)

    assert run.status == 2
    assert run.err.startswith("usage: ")


def test_help(run_sample: Runner) -> None:
    """`--help` names both ways to run it and both variables, on one screen, without a key."""
    run = run_sample("http://127.0.0.1:9", "--help", env={"INFERENCE_API_KEY": ""})

    for words in ("GROUP_ID", "INFERENCE_API_KEY", "INFERENCE_BASE_URL", "constants"):
        assert words in run.stdout
    assert run.stdout.count("\n") <= 24
    assert run.returncode == 0
