"""A private ComfyUI: found, started on a free port with folders of its own, and always stopped."""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import aiohttp

from .errors import ComfyUINotFound, ServerUnavailable

PACK = Path(__file__).resolve().parents[1]
# ComfyUI takes one of these at most. On a CPU the first is the quickest and uses the least memory,
# 1.1 to 1.3 times as quick as what ComfyUI takes there by itself.
ATTENTION = (
    *("--use-pytorch-cross-attention", "--use-split-cross-attention"),
    *("--use-quad-cross-attention", "--use-sage-attention", "--use-flash-attention"),
)
DEVICE_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dri", "/dev/dxg", "/dev/accel")


@dataclass(frozen=True)
class Installation:
    """A ComfyUI on this machine: its folder, the Python that runs it, and how it was found."""

    tree: Path
    python: str
    found_by: str


def find_comfyui(environ: Mapping[str, str] = os.environ) -> Installation:
    """Find the ComfyUI to start, the nearest first.

    COMFYUI_PATH; the ComfyUI in whose custom_nodes this pack lies; `.comfyui/` beside the pack or
    in the current folder; comfy-cli's workspaces. Raises ComfyUINotFound, which names every place.
    """
    named = environ.get("COMFYUI_PATH")
    if named:
        tree = Path(named).expanduser().absolute()
        if not is_comfyui(tree):
            raise ComfyUINotFound(
                f"COMFYUI_PATH is {named!r}, which is no ComfyUI (no main.py beside a comfy/)"
            )
        return Installation(tree, find_python(tree, environ), "COMFYUI_PATH")

    here = Path(__file__).absolute().parents[1]
    places = [
        *((here.parents[1], "the folder of this pack"),) * (here.parent.name == "custom_nodes"),
        (PACK / ".comfyui", ".comfyui beside this pack"),
        (Path.cwd() / ".comfyui", ".comfyui in the current folder"),
        *((workspace, "comfy-cli") for workspace in comfy_cli_workspaces()),
    ]
    for tree, found_by in places:
        if is_comfyui(tree):
            return Installation(tree, find_python(tree, environ), found_by)
    looked = "\n  ".join(str(tree) for tree, _ in places)
    raise ComfyUINotFound(
        "no ComfyUI found. Set COMFYUI_PATH to the folder of yours, or give --server URL of a "
        f"running one, or run `make setup`. Looked in:\n  {looked}"
    )


def is_comfyui(tree: Path) -> bool:
    return (tree / "main.py").is_file() and (tree / "comfy").is_dir()


def comfy_cli_workspaces() -> list[Path]:
    """The default and the most recent workspace of comfy-cli, then where it installs to."""
    home = Path.home()
    config = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, UnicodeDecodeError):
        config.read(
            [
                home / ".config" / "comfy-cli" / "config.ini",
                home / "Library" / "Application Support" / "comfy-cli" / "config.ini",
                home / "AppData" / "Local" / "comfy-cli" / "config.ini",
            ]
        )
    named = [config.defaults().get(key) for key in ("default_workspace", "recent_workspace")]
    return [Path(name) for name in named if name] + [
        home / "comfy" / "ComfyUI",
        home / "Documents" / "comfy" / "ComfyUI",
    ]


def find_python(tree: Path, environ: Mapping[str, str] = os.environ) -> str:
    """The Python for a ComfyUI: COMFYUI_PYTHON, the tree's own, or this one if it has torch."""
    named = environ.get("COMFYUI_PYTHON")
    if named:
        found = shutil.which(named)
        if found is None:
            raise ComfyUINotFound(f"COMFYUI_PYTHON is {named!r}, which is not a program")
        return found
    for folder in (tree / ".venv", tree / "venv", tree.parent / "python_embeded"):
        for program in (
            folder / "bin" / "python",
            folder / "Scripts" / "python.exe",
            folder / "python.exe",
        ):
            if program.is_file():
                return str(program)
    if importlib.util.find_spec("torch"):
        return sys.executable
    raise ComfyUINotFound(
        f"found ComfyUI in {tree} but no Python with torch; set COMFYUI_PYTHON to its Python"
    )


def needs_cpu_flag(python: str) -> bool:
    """Whether ComfyUI must be told that there is no accelerator, else it will not start."""
    if sys.platform == "linux" and not any(os.path.exists(path) for path in DEVICE_FILES):
        return True
    probe = (
        "import torch; found = [getattr(torch, name, None) for name in ('cuda', 'xpu', 'mps')]; "
        "print(any(device.is_available() for device in found if device))"
    )
    answer = subprocess.run([python, "-c", probe], capture_output=True, text=True, timeout=120)
    return answer.stdout.strip() == "False"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PrivateServer:
    """A ComfyUI that belongs to this process and cannot outlive it.

    Its input, output, temp and user folders and its database lie in a scratch folder that is
    removed with it. Models and custom nodes are those of the installation; the pack is added if it
    is not among them.

        async with PrivateServer() as server:
            ... server.url ...
    """

    def __init__(
        self,
        installation: Installation | None = None,
        *,
        arguments: Sequence[str] = (),
        log: Path | None = None,
        start_timeout: float = 300.0,
    ) -> None:
        self.installation = installation or find_comfyui()
        self.arguments = tuple(arguments)
        self.start_timeout = start_timeout
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.scratch = Path(tempfile.mkdtemp(prefix="ip2p-"))
        self.keep_log = log is not None
        self.log = log or self.scratch.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None
        self.cpu = needs_cpu_flag(self.installation.python)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def output(self) -> Path:
        return self.scratch / "output"

    async def start(self) -> None:
        """Start it, or start it again on the same port, and wait until it answers."""
        self._kill()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A progress bar for each prompt would swell the log.
                env={**os.environ, "TQDM_DISABLE": "1"},
            )
        deadline = time.monotonic() + self.start_timeout
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                if not self.alive:
                    raise ServerUnavailable(self.describe_failure("ended while it started"))
                with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError, ValueError):
                    async with session.get(f"{self.url}/system_stats") as answer:
                        if answer.status == 200 and "system" in await answer.json():
                            return
                if time.monotonic() > deadline:
                    raise ServerUnavailable(
                        self.describe_failure(f"did not answer within {self.start_timeout:.0f} s")
                    )
                await asyncio.sleep(0.25)

    def stop(self) -> None:
        """End it and remove what it made. Safe to call at any time, and more than once."""
        self._kill()
        shutil.rmtree(self.scratch, ignore_errors=True)
        if not self.keep_log:
            self.log.unlink(missing_ok=True)

    def describe_failure(self, what: str) -> str:
        """A message with the end of the log, which is kept."""
        self.keep_log = True
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        tail = "\n  | ".join(lines) or "(empty)"
        tree = self.installation.tree
        return f"ComfyUI in {tree} {what}. The end of its log, {self.log}:\n  | {tail}"

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Where this server dies, let ServerUnavailable tell what its log ends with."""
        try:
            yield
        except ServerUnavailable:
            if self.alive:
                raise
            raise ServerUnavailable(self.describe_failure("died")) from None

    async def __aenter__(self) -> PrivateServer:
        try:
            await self.start()
        except BaseException:
            self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        for folder in ("input", "output", "user"):
            (self.scratch / folder).mkdir(parents=True, exist_ok=True)
        folders = [
            *("--input-directory", str(self.scratch / "input")),
            *("--output-directory", str(self.output)),
            *("--temp-directory", str(self.scratch)),
            *("--user-directory", str(self.scratch / "user")),
            *("--database-url", f"sqlite:///{self.scratch / 'comfyui.db'}"),
        ]
        arguments = [*folders, *with_defaults(self.arguments, self.cpu)]
        return command(self.installation, self.scratch, "127.0.0.1", self.port, arguments)

    def _kill(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            kill(process)


def command(
    installation: Installation, scratch: Path, listen: str, port: int, arguments: Sequence[str]
) -> list[str]:
    """The command line of a ComfyUI that ends with us and has this pack."""
    if not has_pack(installation.tree):
        link = scratch / "custom_nodes" / "instruct-pix2pix"
        link.parent.mkdir(exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(PACK, target_is_directory=True)
        config = scratch / "extra_model_paths.json"
        # JSON is YAML.
        config.write_text(json.dumps({"ip2p": {"custom_nodes": str(link.parent)}}))
        arguments = [*arguments, "--extra-model-paths-config", str(config)]
    return [
        *(installation.python, str(PACK / "headless" / "watchdog.py")),
        *(str(installation.tree), str(scratch)),
        *("--listen", listen, "--port", str(port), "--disable-auto-launch"),
        *arguments,
    ]


def with_defaults(arguments: Sequence[str], cpu: bool, previews: bool = False) -> list[str]:
    """ComfyUI's arguments, and before them what suits where they do not say otherwise.

    cpu       it has no accelerator and must be told so
    previews  show what is being made
    """
    given = {argument.partition("=")[0] for argument in arguments}
    added = ["--cpu"] if cpu and "--cpu" not in given else []
    if (cpu or "--cpu" in given) and not given.intersection(ATTENTION):
        added.append(ATTENTION[0])
    if previews and "--preview-method" not in given:
        added += ["--preview-method", "auto"]
    return [*added, *arguments]


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a server and whatever it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    if process.stdin:
        process.stdin.close()


def serve(listen: str, port: int, arguments: Sequence[str] = ()) -> int:
    """Run ComfyUI for a person, with its own folders, until it ends; its exit status."""
    installation = find_comfyui()
    scratch = Path(tempfile.mkdtemp(prefix="ip2p-"))
    arguments = with_defaults(arguments, needs_cpu_flag(installation.python), previews=True)
    process = subprocess.Popen(
        command(installation, scratch, listen, port, arguments),
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        return process.wait()
    finally:
        kill(process)
        shutil.rmtree(scratch, ignore_errors=True)


def has_pack(tree: Path) -> bool:
    """Whether this pack, or another copy of it, lies in the custom_nodes of a ComfyUI."""
    return any((tree / "custom_nodes").glob("*/headless/watchdog.py"))
