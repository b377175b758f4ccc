"""A node that has become another user loads nothing any more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
import jindimail.service
from jindimail.admin.preload import preload
from tests.support.world import World, now
from jindimail.message.charsets import CODECS

if {isPreloaded}:
    preload()


class Nothing:
    def find_spec(self, name, path=None, target=None):
        raise PermissionError(name)


sys.meta_path.insert(0, Nothing())
sys.path_importer_cache.clear()
world = World()
now(world.directory.addDomain("b\u00fccher.example"))
world.addUser("anna@b\u00fccher.example", "a password")
for codec in CODECS:
    octets = (
        f"Received: a\\r\\nSubject: =?{{codec}}?Q?x=E4?=\\r\\nContent-Type: text/plain; charset={{codec}}\\r\\n\\r\\n"
    ).encode() + b"\\xe4\\xf6\\r\\n"
    assert world.deliver(octets, "anna@b\u00fccher.example") == [None], codec
print("done")
"""


def run(isPreloaded: bool) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(isPreloaded=isPreloaded)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    return done.stdout or done.stderr


def test_mailOfAllCharacterSetsComesInWithoutLoadingAnything() -> None:
    assert run(isPreloaded=True) == "done\n"


def test_withoutPreloadingItDoesNot() -> None:
    assert "PermissionError" in run(isPreloaded=False)
