"""The table of commands: what carries each out, and the states in which it is valid (RFC 3501 §3, §6)."""

from __future__ import annotations

from jindimail.imap4.commands import (
    append,
    authenticate,
    capability,
    close,
    copy,
    create,
    delete,
    enable,
    expunge,
    fetch,
    id,
    idle,
    list,
    login,
    logout,
    namespace,
    noop,
    rename,
    search,
    select,
    starttls,
    status,
    store,
    subscribe,
)
from jindimail.imap4.verbs import ANY, LOGGED_IN, NOT_AUTHENTICATED, SELECTED, Verb

COMMANDS: dict[bytes, Verb] = {
    b"CAPABILITY": Verb(capability.run, ANY),
    b"NOOP": Verb(noop.run, ANY),
    b"LOGOUT": Verb(logout.run, ANY),
    b"ID": Verb(id.run, ANY),
    b"STARTTLS": Verb(starttls.run, NOT_AUTHENTICATED),
    b"AUTHENTICATE": Verb(authenticate.run, NOT_AUTHENTICATED),
    b"LOGIN": Verb(login.run, NOT_AUTHENTICATED),
    b"ENABLE": Verb(enable.run, LOGGED_IN),
    # No EXPUNGE here either: programs take the EXISTS of a SELECT for the count, whatever follows (Python's imaplib).
    b"SELECT": Verb(select.run, LOGGED_IN, mayExpunge=False),
    b"EXAMINE": Verb(select.examine, LOGGED_IN, mayExpunge=False),
    b"CREATE": Verb(create.run, LOGGED_IN),
    b"DELETE": Verb(delete.run, LOGGED_IN),
    b"RENAME": Verb(rename.run, LOGGED_IN),
    b"SUBSCRIBE": Verb(subscribe.run, LOGGED_IN),
    b"UNSUBSCRIBE": Verb(subscribe.unsubscribe, LOGGED_IN),
    b"LIST": Verb(list.run, LOGGED_IN),
    b"LSUB": Verb(list.lsub, LOGGED_IN),
    b"NAMESPACE": Verb(namespace.run, LOGGED_IN),
    b"STATUS": Verb(status.run, LOGGED_IN),
    b"APPEND": Verb(append.run, LOGGED_IN, isOnceForAll=True),
    b"IDLE": Verb(idle.run, LOGGED_IN),
    b"CHECK": Verb(noop.run, SELECTED),
    b"CLOSE": Verb(close.run, SELECTED),
    b"UNSELECT": Verb(close.unselect, SELECTED),
    b"EXPUNGE": Verb(expunge.run, SELECTED),
    b"SEARCH": Verb(search.run, SELECTED, mayExpunge=False, isAboutMessages=True),
    b"FETCH": Verb(fetch.run, SELECTED, mayExpunge=False, isAboutMessages=True, isOnceForAll=True),
    b"STORE": Verb(store.run, SELECTED, mayExpunge=False, isAboutMessages=True),
    b"COPY": Verb(copy.run, SELECTED, mayExpunge=False, isAboutMessages=True),
    b"MOVE": Verb(copy.move, SELECTED, isAboutMessages=True),
}

UID_COMMANDS: dict[bytes, Verb] = {
    b"COPY": Verb(copy.run, SELECTED, byUid=True, isAboutMessages=True),
    b"MOVE": Verb(copy.move, SELECTED, byUid=True, isAboutMessages=True),
    b"FETCH": Verb(fetch.run, SELECTED, byUid=True, isAboutMessages=True, isOnceForAll=True),
    b"STORE": Verb(store.run, SELECTED, byUid=True, isAboutMessages=True),
    b"SEARCH": Verb(search.run, SELECTED, byUid=True, isAboutMessages=True),
    b"EXPUNGE": Verb(expunge.run, SELECTED, byUid=True),
}
