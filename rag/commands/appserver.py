"""Where the app is served: its command line, its address, and whether the port can be had."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

import psutil

from rag.commands.children import ROOT
from rag.errors import CorpuscopeError
from rag.settings import Settings

APP = ROOT / "pages" / "parts" / "server.py"


def app_arguments(settings: Settings) -> list[str]:
    """The module and arguments that serve the app."""
    options = {
        "server.address": settings.corpuscope_host,
        "server.port": str(settings.corpuscope_port),
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        # Its welcome would ask a host on the internet which address this machine has.
        "logger.hideWelcomeMessage": "true",
    }
    public = urlsplit(settings.public_url)
    if public.hostname:
        # Where browsers are: whose sockets are let in, when a proxy in between changes the name of the host.
        port = public.port or (443 if public.scheme == "https" else 80)
        options |= {"browser.serverAddress": public.hostname, "browser.serverPort": str(port)}
    served = [part for key, value in options.items() for part in (f"--{key}", value)]
    return ["streamlit", "run", str(APP), *served]


def address(settings: Settings) -> str:
    """Where a browser finds the app."""
    host = _local_host(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.corpuscope_port}"


def _local_host(settings: Settings) -> str:
    everywhere = settings.corpuscope_host in ("0.0.0.0", "::", "")
    return "127.0.0.1" if everywhere else settings.corpuscope_host


def answers(settings: Settings) -> bool:
    """Whether the app serves pages by now."""
    connection = http.client.HTTPConnection(address(settings).removeprefix("http://"), timeout=1)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def check_port(settings: Settings) -> None:
    """Raise :class:`CorpuscopeError`, naming who has it, if the app could not listen on its port."""
    family = socket.AF_INET6 if ":" in settings.corpuscope_host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.corpuscope_host, settings.corpuscope_port))
        except OSError as error:
            port = settings.corpuscope_port
            raise CorpuscopeError(
                f"Port {port} can't be used: {_describe_holder(port) or error.strerror}.",
                hint="Stop that program, or choose another port with CORPUSCOPE_PORT.",
            ) from error


def wait_for_port(settings: Settings, patience_s: float) -> None:
    """As :func:`check_port`; after an unclean end the app of the last start may still be about to let go."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return check_port(settings)
        except CorpuscopeError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _describe_holder(port: int) -> str:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid}) has it"
    return ""
