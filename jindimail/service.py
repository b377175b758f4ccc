"""
The composition root: the only place that knows the real reactor.

`twistd jindimail --config node.ini` reads and checks the configuration, binds the ports (as root, where it was started so),
becomes the node's user, opens the stack (store, groups, directory, delivery), and only then lets the edges accept. SIGHUP
rereads certificates and what may change live; SIGTERM and SIGINT end what is under way within a deadline and leave a clean store.
"""

from __future__ import annotations

import atexit
import gc
import os
import pwd
import signal
import sys
import time
from random import SystemRandom
from typing import Any

from twisted.application.service import IProcess, Service
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from jindimail.admin.asking import serveVerbs
from jindimail.admin.certificates import ReloadableCertificate
from jindimail.admin.control import ControlFactory
from jindimail.admin.eagertls import TlsFromTheStart
from jindimail.admin.endpoints import serverEndpoints
from jindimail.admin.leanpoll import makeLean
from jindimail.admin.listening import Listening
from jindimail.admin.livenode import ALONE, REMOVED, SERVING, STARTING, STOPPING, WITNESS, LiveNode
from jindimail.admin.logline import quicken
from jindimail.admin.manhole import manholeFactory
from jindimail.admin.openfiles import roomForSessions
from jindimail.admin.politeness import interruptNobody
from jindimail.admin.preload import preload
from jindimail.admin.reload import changedKeys, reread
from jindimail.admin.stack import Stack
from jindimail.admin.startcheck import checkedConfiguration
from jindimail.admin.steadyclock import makeSteady, wallSeconds
from jindimail.admin.verbs import VERBS
from jindimail.admin.web import webFactory
from jindimail.admin.websight import Sight
from jindimail.admin.webwords import endingText
from jindimail.cluster.hello import LEVELS
from jindimail.config import Configuration
from jindimail.edges import IMPLICIT_TLS, MAIL_SERVICES, countedDeliveries, edgeFactories, limitEdges
from jindimail.errors import ConfigError, Unavailable
from jindimail.mailbox.sessions import Sessions
from jindimail.options import Options as Options

FAILED = 1  # exit status
WATCH_SECONDS = 1.0
UPKEEP_SECONDS = 600
CERTIFICATE_SECONDS = 86_400  # between looks at when it ends
ABORT_SECONDS = 2.0
TELLING_SERVICES = ("web", "webs")  # that say of a node that it is stopping, as long as it is
WHY = {
    ALONE: "it was restored alone, and has no links to other nodes until `jindictl cluster recover` has given up all of them",
    REMOVED: "the array has removed it, or given it up for good, and never takes it back",
}
_COLLECT_AFTER = (10_000, 20, 50)  # new containers; younger collections before an older one
FAILED_SECONDS = 1.0
CLOSE_SECONDS = 10.0  # for the last commits of a stopping node


def makeService(options: Options) -> NodeService:
    """The service of the configured node (`twisted.application.service.ServiceMaker`)."""
    from twisted.internet import reactor

    interruptNobody()
    makeSteady(reactor)
    return NodeService(options["configuration"], reactor)


class NodeService(Service):
    """A node, from its ports to its store."""

    name = "jindimail"
    _log = Logger()

    def __init__(self, configuration: Configuration, reactor: Any) -> None:
        self.configuration = configuration
        self._reactor = reactor
        self._listening = Listening()
        self._stack: Stack | None = None
        self._node: LiveNode | None = None
        self._edges: dict[str, Any] = {}
        self._hasFailed = False
        self._watch = LoopingCall(self._watchGroups)
        self._watch.clock = reactor
        self._upkeep = LoopingCall(self._keepUp)
        self._upkeep.clock = reactor
        self._certificateLook = LoopingCall(self._lookAtCertificate)
        self._certificateLook.clock = reactor
        self.certificate = ReloadableCertificate(configuration.tls)

    def setServiceParent(self, parent: Any) -> None:
        """Tell twistd whom to become once the ports are bound."""
        Service.setServiceParent(self, parent)
        if self.configuration.node.user and os.geteuid() == 0:
            entry = pwd.getpwnam(self.configuration.node.user)
            preload()
            process = IProcess(parent)
            process.uid, process.gid = entry.pw_uid, entry.pw_gid

    def privilegedStartService(self) -> None:
        """Bind all ports but the control socket, which belongs to the node's user."""
        Service.privilegedStartService(self)
        bound = ensureDeferred(self._bind(lambda service: service != "control"))
        bound.addErrback(self._failed)

    async def _bind(self, which: Any) -> None:
        listen = self.configuration.listen
        for service, endpoints in serverEndpoints(listen, self._reactor).items():
            if which(service):
                for endpoint, string in zip(endpoints, getattr(listen, service), strict=True):
                    await self._listening.bind(service, endpoint, string)

    def startService(self) -> None:
        """Open the node; as its user, if there is one."""
        Service.startService(self)
        quicken(globalLogPublisher)
        makeLean(self._reactor)
        if os.geteuid() == 0:
            self._log.warn(
                "the node runs as root: let [node] user name whom it becomes once its ports are open"
            )
        signal.signal(signal.SIGHUP, self._hungUp)
        self._reactor.callWhenRunning(self._begin)

    @property
    def _isOver(self) -> bool:
        """Whether the node was stopped, or has failed: what was waited for has come too late."""
        return not self.running or self._hasFailed

    def _begin(self) -> None:
        if not self._isOver:
            ensureDeferred(self._start()).addErrback(self._failed)

    async def _start(self) -> None:
        configuration = self.configuration
        chance = SystemRandom()
        self._stack = stack = Stack(
            configuration, reactor=self._reactor, seconds=wallSeconds, chance=chance, levels=_levels()
        )
        stack.store.failed().addCallback(self._storeFailed)
        self._node = node = self._liveNode(stack)
        serveVerbs(node, VERBS)
        await stack.start()
        if self._isOver:
            return
        node.sight.start()
        await self._bind(lambda service: service == "control")
        self._serveOperators(node)
        self._watch.start(WATCH_SECONDS, now=False)
        self._certificateLook.start(CERTIFICATE_SECONDS)
        if stack.isAlone:
            self._serveNobody(ALONE, (*MAIL_SERVICES, "cluster"))
            await stack.founded()
            if self._isOver:
                return
            node.state = STARTING
        elif stack.isGivenUp:
            self._serveNobody(REMOVED, (*MAIL_SERVICES, "cluster"))
            return
        self._listening.accept("cluster", stack.links.factory)
        await stack.ready()
        if self._isOver or node.state == REMOVED:
            return
        self._upkeep.start(UPKEEP_SECONDS)
        _settleMemory()
        if stack.isWitness:
            self._serveNobody(WITNESS)
        else:
            self._serve()

    def _liveNode(self, stack: Stack) -> LiveNode:
        """The node as operators see it."""
        limits = self.configuration.limits
        node = LiveNode(
            configuration=self.configuration,
            meta=stack.meta,
            store=stack.store,
            groups=stack.groups,
            share=stack.share,
            links=stack.links,
            buckets=stack.buckets,
            directory=stack.directory,
            sessions=stack.countedElsewhere(
                Sessions(
                    seconds=wallSeconds,
                    sessionsMax=roomForSessions(limits.sessions),
                    sessionsPerPeerMax=limits.sessionsPerPeer,
                    sessionsPerUserMax=limits.sessionsPerUser,
                )
            ),
            seconds=wallSeconds,
            startedSeconds=int(wallSeconds()),
            inThread=stack.inThread,
            fromThread=self._reactor.callFromThread,
            checker=stack.checker,
            deliveries=countedDeliveries(stack, self._reactor),
            certificateEnds=lambda: self.certificate.endsSeconds,
            octets=self._listening.octets,
        )
        node.sight = Sight(node, clock=self._reactor)
        return node

    def _serveOperators(self, node: LiveNode) -> None:
        self._accept(
            {
                "control": ControlFactory(node=node, verbs=VERBS, reactor=self._reactor),
                "web": webFactory(node, node.sight, reactor=self._reactor),
                "webs": webFactory(node, node.sight, reactor=self._reactor),
            }
        )
        if self.configuration.listen.manhole:
            self._accept({"manhole": manholeFactory(node, VERBS, self._reactor)})

    def _serve(self) -> None:
        """Clients are welcome from now on."""
        node, stack = self._node, self._stack
        assert node is not None and stack is not None
        self._accept(
            edgeFactories(
                stack,
                self.configuration,
                node.sessions,
                self.certificate,
                self._reactor,
                node.deliveries,
                wallSeconds,
            )
        )
        node.state = SERVING
        self._log.info(
            "node {name} serves, incarnation {incarnation}: {services}",
            name=node.meta.name,
            incarnation=stack.meta.incarnation,
            services=", ".join(f"{service} {' '.join(at)}" for service, at in node.listening.items()),
        )

    def _serveNobody(self, why: str, services: tuple[str, ...] = MAIL_SERVICES) -> None:
        """From now on, as a node that clients have no business with; operators still have."""
        assert self._node is not None
        self._node.state = why
        self._log.critical(
            "node {name} serves no clients: {why}", name=self._node.meta.name, why=WHY.get(why, why)
        )
        self._listening.close(services)
        self._node.listening = self._listening.addresses()
        for session in self._node.sessions:
            session.disconnect()

    def _accept(self, edges: dict[str, Any]) -> None:
        """Serve these from now on."""
        self._edges |= edges
        for service, factory in edges.items():
            self._listening.accept(service, self._wrapped(service, factory))
        assert self._node is not None
        self._node.listening = self._listening.addresses()

    def _wrapped(self, service: str, factory: Any) -> Any:
        if service in IMPLICIT_TLS:
            return TlsFromTheStart(factory, self.certificate)
        return factory

    # --- while it runs

    def _hungUp(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self.reload)

    def reload(self) -> None:
        """Take over what may change live; a configuration with problems changes nothing."""
        try:
            new = checkedConfiguration(self.configuration.path)
            self.certificate.reload(new.tls)
        except ConfigError as error:
            for problem in error.problems:
                self._log.error("SIGHUP: {problem}; nothing is changed", problem=problem)
            return
        waiting = changedKeys(self.configuration, new, live=False)
        changed = changedKeys(self.configuration, new, live=True)
        self.configuration = reread(self.configuration, new)
        if self._node is not None:
            self._node.configuration = self.configuration
            self._node.sessions.bound(
                roomForSessions(new.limits.sessions), new.limits.sessionsPerPeer, new.limits.sessionsPerUser
            )
        limitEdges(self._edges, new.limits)
        self._log.info(
            "SIGHUP: certificates reread; changed: {changed}", changed=", ".join(changed) or "nothing"
        )
        if waiting:
            self._log.warn("SIGHUP: these wait for a restart: {keys}", keys=", ".join(waiting))
        self._lookAtCertificate()

    def _lookAtCertificate(self) -> None:
        """Say that the certificate has to be replaced, if it is time."""
        words = endingText(self.certificate.endsSeconds, time.time())
        if words:
            self._log.error(
                "the certificate that clients see {words}: {path}",
                words=words,
                path=self.configuration.tls.certificate,
            )
            if self._node is not None:
                self._node.share.events.add("certificateEnding", node=self._node.meta.node, why=words)

    def _watchGroups(self) -> None:
        assert self._stack is not None and self._node is not None
        failure = self._stack.groups.failure
        if failure is not None:
            self._fail("the groups of this node stopped", failure)
        elif self._stack.seesRemoval():
            if self._node.state not in (REMOVED, STOPPING):
                self._serveNobody(REMOVED)
        elif self._node.state == SERVING and self._stack.isWitness:
            self._serveNobody(WITNESS)
        elif self._node.state == WITNESS and not self._stack.isWitness:
            self._serve()

    def _keepUp(self) -> Deferred[None]:
        assert self._stack is not None
        return ensureDeferred(self._stack.keepUp()).addErrback(self._upkeepFailed)

    def _upkeepFailed(self, failure: Failure) -> None:
        if not failure.check(Unavailable):  # the next round goes on
            self._log.failure("upkeep failed", failure)

    def _storeFailed(self, reason: Exception) -> None:
        self._fail("the store can no longer be written", Failure(reason))

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, ConfigError):
            for problem in error.problems:
                self._log.critical("the node cannot start: {problem}", problem=problem)
                sys.stderr.write(f"jindimail: {problem}\n")
            self._end()
        else:
            self._fail("the node cannot start", failure)

    def _fail(self, what: str, failure: Failure) -> None:
        """Say why, and end the process with a status that says that it was not asked to."""
        self._log.failure("{what}; the node stops", failure, what=what)
        sys.stderr.write(f"jindimail: {what}: {failure.getErrorMessage()}; the node stops\n")
        self._end()

    def _end(self) -> None:
        self._stopLoops()
        self._hasFailed = True
        atexit.register(_exitFailed)
        self._reactor.callWhenRunning(self._stopReactor)

    def _stopReactor(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    # --- the end

    def _stopLoops(self) -> None:
        for loop in (self._watch, self._upkeep, self._certificateLook):
            if loop.running:
                loop.stop()
        if self._node is not None:
            self._node.sight.stop()

    def stopService(self) -> Deferred[None]:
        """Accept nothing more, let what is under way end within the deadline, close the store."""
        Service.stopService(self)
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if self._node is not None:
            self._node.state = STOPPING
        self._stopLoops()
        await self._listening.stop(besides=TELLING_SERVICES)
        # Nothing that is under way at a node whose store failed can come to an end; its clients do better elsewhere.
        await self._endSessions(FAILED_SECONDS if self._hasFailed else self.configuration.limits.stopDeadline)
        if self._stack is not None and not self._hasFailed:
            await self._stack.leave()
        await self._listening.stop()
        telling = [
            self._edges[service].closeWhenIdle() for service in TELLING_SERVICES if service in self._edges
        ]
        await self._within(DeferredList(telling, consumeErrors=True), ABORT_SECONDS)
        closed = ensureDeferred(self._stack.close()) if self._stack is not None else succeed(None)
        if not await self._within(closed, CLOSE_SECONDS):
            # What is acknowledged is on the disk, what is not gets no answer. A thread that hangs in a sync cannot be ended.
            self._log.critical("the store does not close, its disk hangs; the node ends without it")
            _exitFailed()
        self._log.info("node {name} stopped", name=self.configuration.node.name)

    async def _endSessions(self, deadlineSeconds: float) -> None:
        closing = [
            edge.closeWhenIdle() for service, edge in self._edges.items() if service not in TELLING_SERVICES
        ]
        if not closing:
            return
        allClosed: Deferred[Any] = DeferredList(closing, consumeErrors=True)
        if await self._within(allClosed, deadlineSeconds) or self._node is None:
            return
        self._log.warn("{count} sessions outlast the deadline", count=len(self._node.sessions))
        for session in self._node.sessions:
            session.disconnect()
        await self._within(allClosed, ABORT_SECONDS)

    async def _within(self, awaited: Deferred[Any], seconds: float) -> bool:
        """Whether it came about in time."""
        either: Deferred[bool] = Deferred()
        late = self._reactor.callLater(seconds, either.callback, False)

        def came(result: Any) -> Any:
            if late.active():
                late.cancel()
                either.callback(True)
            return result

        awaited.addBoth(came)
        return await either


def _settleMemory() -> None:
    """What stands at the start stays: the collector of cycles need not look at it again, nor at anything so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def _levels() -> tuple[int, int]:
    """The levels that this version speaks; a test of two versions in one array gives others (JINDIMAIL_TEST_LEVELS=1-2)."""
    low, _, high = os.environ.get("JINDIMAIL_TEST_LEVELS", "").partition("-")
    return (int(low), int(high)) if high else LEVELS


def _exitFailed() -> None:
    """The last thing that a failed node does, since twistd itself would exit with 0, or by the signal that stopped it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(FAILED)
