"""Octets to text in any of the character sets that mail uses, whatever the label says; nothing here raises.

Labels come from strangers, so they are never handed to `codecs.lookup`: it remembers every unknown name
for ever, and knows codecs that are no character sets, some of them quadratic (idna, punycode).
"""

import re
from encodings.aliases import aliases
from typing import Final

_CODECS: Final = re.compile(
    r"utf_8|utf_8_sig|utf_7|utf_16(_[bl]e)?|utf_32(_[bl]e)?|ascii|latin_1|iso8859_\d+|cp\d+|koi8_[rut]|kz1048"
    r"|gb2312|gbk|gb18030|hz|big5|big5hkscs|euc_jp|euc_jis_2004|euc_jisx0213|euc_kr|johab|shift_jis|shift_jis_2004"
    r"|shift_jisx0213|iso2022_\w+|mac_\w+|ptcp154|tis_620"
)
_UNALIASED: Final = ("cp720", "cp737", "cp856", "cp874", "cp875", "cp1006", "koi8_t", "koi8_u")
_BETTER: Final = {  # what senders of a label really mean (WHATWG Encoding §4.2)
    "latin_1": "cp1252",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859_9": "cp1254",
    "tis_620": "cp874",
}
_MORE: Final = {  # labels that Python does not know everywhere
    "cswindows31j": "cp932",
    "gb_2312_80": "gb2312",
    "iso_8859_6_e": "iso8859_6",  # RFC 1556: which way the text runs is no matter here
    "iso_8859_6_i": "iso8859_6",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_8_i": "iso8859_8",
    "windows_31j": "cp932",
    "windows_874": "cp874",
    "x_big5": "big5",
    "x_euc_jp": "euc_jp",
    "x_gbk": "gbk",
    "x_mac_roman": "mac_roman",
    "x_sjis": "shift_jis",
    "x_windows_949": "cp949",
}
_STATEFUL: Final = re.compile(r"iso.?2022|csiso2022|utf.?(7|16|32)|unicode|u(7|16|32)|hz", re.IGNORECASE)
"""Labels of character sets in which ASCII octets may mean something else."""


def _codecTable() -> dict[str, str]:
    names = {alias: codec for alias, codec in aliases.items() if _CODECS.fullmatch(codec)}
    names.update({codec: codec for codec in (*names.values(), *_UNALIASED)})
    names.update(_MORE)
    return {name: _BETTER.get(codec, codec) for name, codec in names.items()}


_TABLE: Final = _codecTable()
CODECS: Final = tuple(sorted(set(_TABLE.values())))
"""All of Python's codecs that `decode` may use."""


def codecOf(charset: str) -> str | None:
    """Python's codec for the character set labelled *charset*, or None if it is not one that mail uses."""
    name = charset.strip().lower()
    return _TABLE.get(name.replace("-", "_").replace(":", "_").replace(" ", "_"))


def decode(octets: bytes, charset: str = "") -> str:
    """*octets* as text: by *charset* if that is known and not ASCII, else as UTF-8, else as windows-1252.

    What cannot be decoded becomes U+FFFD.
    """
    if octets.isascii() and not _STATEFUL.match(charset):
        return octets.decode("ascii")
    codec = codecOf(charset)
    if codec is None or codec == "ascii":
        return _decodeUnlabelled(octets)
    text = octets.decode(codec, "replace")
    if codec == "utf_7":  # alone among the codecs it lets lone surrogates through
        text = text.encode("utf_16_le", "surrogatepass").decode("utf_16_le", "replace")
    return text


def _decodeUnlabelled(octets: bytes) -> str:
    try:
        return octets.decode("utf_8")
    except UnicodeDecodeError as error:
        wasUtf8 = not octets[: error.start].isascii()
        if wasUtf8 and error.reason == "unexpected end of data":  # cut off within a character
            return octets.decode("utf_8", "ignore")
        return octets.decode("cp1252", "replace")
