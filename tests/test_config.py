"""The configuration: every problem at once, every default where the manual says it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jindimail.config import SECTIONS, Configuration, keys, load, read
from jindimail.errors import ConfigError
from jindimail.kinds import endpointParts, quoted, readOctets, unixPath, writeOctets

LEAST = "[node]\nname = one\ndata-directory = data\n"


def problemsOf(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, "/etc/j")
    return list(caught.value.problems)


def test_leastFileIsEnough() -> None:
    found = read(LEAST, "/etc/j")
    assert isinstance(found, Configuration)
    assert found.node.dataDirectory == "/etc/j/data"
    assert found.node.hostName == "one"
    assert found.listen.control == ("unix:/etc/j/data/control:mode=600",)
    assert found.controlPath == "/etc/j/data/control"
    assert found.listen.smtp == ()
    assert found.tls.certificate == "/etc/j/data/certificate.pem"
    assert found.tls.key == "/etc/j/data/key.pem"
    assert found.tls.plaintextPasswords == "never"


def test_allProblemsAreListedAtOnce() -> None:
    problems = problemsOf(
        "stray = 1\n[node]\nname = Not A Name\nnmae = x\n[listen]\nsmtp = tcp:99999 carrier:pigeon\nimap\n"
        "[limits]\nmessage-octets = huge\nsessions = 0\n[lsiten]\nsmtp = tcp:25\n"
    )
    starts = [problem.partition(": ")[0] for problem in problems]
    assert starts == [
        "line 1",
        "line 7",
        "node.name",
        "node.data-directory",
        "node.nmae",
        "listen.smtp",
        "limits.message-octets",
        "limits.sessions",
        "lsiten",
    ]


def test_keyGivenTwiceIsAProblem() -> None:
    assert problemsOf(LEAST + "[tls]\nminimum-version = 1.2\nminimum-version = 1.3\n") == [
        "tls.minimum-version: given again in line 6"
    ]


def test_endpointsMayStandOnLinesOfTheirOwn() -> None:
    found = read(LEAST + "[listen]\nsmtp = tcp6:25\n   tcp:2525 unix:s.sock\n", "/etc/j")
    assert found.listen.smtp == ("tcp6:25", "tcp:2525", "unix:/etc/j/s.sock")


def test_endpointTakenTwiceNamesBothServices() -> None:
    assert problemsOf(LEAST + "[listen]\nsmtp = tcp:25\nimap = tcp:25\n") == [
        "listen.imap: tcp:25 is taken by smtp"
    ]


def test_portZeroMayBeTakenTwice() -> None:
    assert read(LEAST + "[listen]\nsmtp = tcp:0\nimap = tcp:0\n", "/").listen.imap == ("tcp:0",)


def test_manholeAndLmtpAreOnLoopbackUnlessToldOtherwise() -> None:
    found = read(
        LEAST + "[listen]\nmanhole = tcp:1 tcp6:2 tcp:3:interface=0.0.0.0 unix:/m\nlmtp = tcp:24\n", "/"
    )
    assert found.listen.manhole == (
        "tcp:1:interface=127.0.0.1",
        "tcp6:2:interface=\\:\\:1",
        "tcp:3:interface=0.0.0.0",
        "unix:/m",
    )
    assert found.listen.lmtp == ("tcp:24:interface=127.0.0.1",)


def test_controlIsItsOwnersOnlyUnlessToldOtherwise() -> None:
    found = read(LEAST + "[listen]\ncontrol = unix:/a unix:/b:mode=660\n", "/")
    assert found.listen.control == ("unix:/a:mode=600", "unix:/b:mode=660")
    assert found.controlPath == "/a"


def test_controlIsAlwaysAUnixSocket() -> None:
    assert problemsOf(LEAST + "[listen]\ncontrol = tcp:1\n")[0].startswith("listen.control: ")


def test_tooLongUnixPathIsNamed() -> None:
    deep = "/" + "d" * 120
    assert problemsOf(f"[node]\nname=one\ndata-directory={deep}\n") == [
        f"listen.control: {deep + '/control'!r} is longer than the 107 octets of a UNIX socket's path"
    ]


def test_certificateNeedsItsKey() -> None:
    assert problemsOf(LEAST + "[tls]\ncertificate = c.pem\n") == ["tls.key: must be given with the other"]


def test_boundsAreHeld() -> None:
    assert problemsOf(LEAST + "[limits]\nsmtp-idle = 1s\n") == [
        "limits.smtp-idle: must be between 10s and 1d"
    ]
    assert read(LEAST + "[limits]\nsmtp-idle = 2m\n", "/").limits.smtpIdle == 120


def test_commentsAndBlankLinesMeanNothing() -> None:
    assert read("# c\n\n; d\n" + LEAST + "  # e\n\nuser = mail\n", "/").node.user == "mail"


def test_octetsAreWrittenAsTheyAreRead() -> None:
    for octets in (0, 1, 1023, 1024, 50 << 20, 3 << 30, (1 << 40) + 1):
        assert readOctets(writeOctets(octets)) == octets
    with pytest.raises(ValueError, match="not a number of octets"):
        readOctets("50X")


def test_quotedPathSurvivesAnEndpoint() -> None:
    for path in ("/a:b", "/a\\b", "/a\\:b", "/plain"):
        assert unixPath(f"unix:{quoted(path)}:mode=600") == path
    assert endpointParts("tcp:25:interface=\\:\\:1") == ["tcp", "25", "interface=::1"]


def test_defaultsOfAllKeysAreWithinTheirOwnBounds() -> None:
    for section in SECTIONS.values():
        for key, field in keys(section):
            if isinstance(field.default, (int, str, tuple)) and field.default not in ("", ()):
                kind = field.metadata["kind"]
                assert kind.read(kind.write(field.default), "/") == field.default, key


LINES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "[node]",
            "[listen]",
            "[tls]",
            "[limits]",
            "name = one",
            "data-directory = d",
            "smtp = tcp:25",
            " more",
        ]
    ),
    st.builds(
        "{} = {}".format,
        st.sampled_from([key for each in SECTIONS.values() for key, _ in keys(each)]),
        st.text(max_size=20),
    ),
)


@given(st.lists(LINES, max_size=20).map("\n".join))
def test_anyTextIsAConfigurationOrHasProblems(text: str) -> None:
    try:
        assert isinstance(read(text, "/d"), Configuration)
    except ConfigError as error:
        assert error.problems


def test_missingFileIsOneProblem(tmp_path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(str(tmp_path / "node.ini"))


def test_pathsStartAtTheFile(tmp_path) -> None:
    (tmp_path / "node.ini").write_text(LEAST)
    found = load(str(tmp_path / "node.ini"))
    assert found.node.dataDirectory == str(tmp_path / "data")
    assert found.path == str(tmp_path / "node.ini")


def test_fileThatIsNotTextIsRefused(tmp_path) -> None:
    (tmp_path / "node.ini").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(str(tmp_path / "node.ini"))


def test_fileThatHoldsNulIsAProblemOfTheFile(tmp_path) -> None:
    """It was an error of ours: no user can be called so, nor any file."""
    path = tmp_path / "node.ini"
    path.write_bytes(b"[node]\nname = n1\ndata-directory = d\nuser = a\0b\n")
    with pytest.raises(ConfigError, match="holds NUL"):
        load(str(path))


def test_byteOrderMarkIsNoText(tmp_path) -> None:
    path = tmp_path / "node.ini"
    path.write_bytes(b"\xef\xbb\xbf[node]\nname = n1\ndata-directory = d\n")
    assert load(str(path)).node.name == "n1"
