"""The options of `twistd jindimail`."""

from __future__ import annotations

from twisted.python import usage

from jindimail.admin.startcheck import checkedConfiguration
from jindimail.errors import ConfigError


class Options(usage.Options):
    """The options of `twistd jindimail`."""

    synopsis = "[--config FILE]"
    longdesc = (
        "Run a node of a jindimail mail array: SMTP, LMTP, POP3 and IMAP4 at its edge, replicated storage below. "
        "`jindictl init` founds a node, `jindictl config example` prints a configuration."
    )
    optParameters = [["config", "c", None, "The node's configuration file (node.ini); it must be given."]]

    def postOptions(self) -> None:
        """Read and check the configuration; with problems, list all of them and exit before anything listens."""
        if self["config"] is None:
            raise usage.UsageError("--config FILE must be given")
        try:
            self["configuration"] = checkedConfiguration(self["config"])
        except ConfigError as error:
            lines = [f"jindimail: {self['config']}: {problem}" for problem in error.problems]
            raise SystemExit("\n".join(lines)) from None
