"""A PostgreSQL server of the search's own, which other machines join without any set-up.

Its data lie beside the results. It ends with the search and begins again with it, at the same
address, with the same password. PostgreSQL refuses to run as root: then it runs as the account
that its package makes.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

try:
    import pwd
except ImportError:  # Windows
    pwd = None

from ..config import ConfigError
from ..files import complete
from .database import caller, driven

FOLDER = "server"
"""Name of its folder, in that of the results."""

_ABOUT = "about.json"
_ACCOUNT = "postgres"  # of Debian's package
_USER = "fastcnn"  # in the database
_PATIENCE = 60  # seconds for others to read the results
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE usename = :user AND backend_type = 'client backend' AND application_name <> :ours
"""


def is_kept_in(folder: Path) -> bool:
    """Whether a folder holds such a server's data."""
    return (folder / _ABOUT).is_file()


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, the newest; Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=_version)
    other = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(other).parent if other else None


def _version(path: Path) -> int:
    number = path.parts[-3]
    return int(number) if number.isdigit() else 0


def address() -> str:
    """Where other machines find this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an example's (RFC 5737): nothing is sent
        except OSError:
            return "127.0.0.1"
        return probe.getsockname()[0]


class Server:
    """PostgreSQL with its data in a folder, from `start` to `stop`.

    Parameters
    ----------
    folder : Path
        Made if missing.
    host : str, optional
        How other machines call this one; default: its address on the way to them.

    Raises
    ------
    ConfigError
        If PostgreSQL is not installed, or there is no account for it.
    """

    def __init__(self, folder: Path, host: str | None = None) -> None:
        found = programs()
        if found is None:
            raise ConfigError("--serve needs PostgreSQL: apt install postgresql")
        self._programs, self._folder = found, folder.resolve()
        self._data, self._about = self._folder / "data", self._folder / _ABOUT
        self._is_adopted = False
        self._as: dict[str, Any] = {}
        if pwd is not None and os.geteuid() == 0:
            try:
                account = pwd.getpwnam(_ACCOUNT)
            except KeyError:
                raise ConfigError(
                    f"PostgreSQL refuses to run as root, and there is no account {_ACCOUNT!r} for "
                    f"it: run the search as another user"
                ) from None
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()}
        self._known: dict[str, Any] = {}
        if self._about.is_file():
            self._known = json.loads(self._about.read_text())
        else:
            self._known = {"port": _free_port(), "password": secrets.token_urlsafe(16)}
        self._known["host"] = host or address()

    @property
    def url(self) -> str:
        """What other machines give as --storage."""
        known = self._known
        return f"postgresql://{_USER}:{known['password']}@{known['host']}:{known['port']}/postgres"

    @property
    def is_running(self) -> bool:
        """Whether it is, whoever started it."""
        return self._data.is_dir() and not self._call("pg_ctl", "-D", self._data, "status")[0]

    @property
    def pid(self) -> int:
        """Its first process."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def start(self) -> None:
        """Start it, unless it runs, and return when it answers.

        Raises
        ------
        ConfigError
            If it does not, with what it said.
        """
        if not (self._data / "PG_VERSION").is_file():
            self._make()
        self._is_adopted = self.is_running
        if self._is_adopted:
            return
        options = f"-p {self._known['port']} -c listen_addresses=* -c unix_socket_directories="
        log = self._folder / "log"
        code, said = self._call("pg_ctl", "-D", self._data, "-l", log, "-o", options, "-w", "start")
        if code:
            with contextlib.suppress(OSError):
                said = log.read_text()
            raise ConfigError(f"PostgreSQL does not start: {_last(said)}")

    def _make(self) -> None:
        """Make its folder and its tables, which get their name once all is done.

        Only who has the password is let in.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        password, half = self._folder / "password", self._folder / "data.tmp"
        shutil.rmtree(half, ignore_errors=True)  # of a start that was killed
        password.touch(0o600)
        password.write_text(self._known["password"])
        with complete(self._about) as temporary:
            temporary.chmod(0o600)  # before there is anything in it
            temporary.write_text(json.dumps(self._known))
        if self._as:
            for path in (self._folder, password):
                os.chown(path, self._as["user"], self._as["group"])
        try:
            code, said = self._call(
                "initdb", "-D", half, "-U", _USER, "-E", "UTF8", "--no-locale",
                "--auth=scram-sha-256", f"--pwfile={password}",
            )  # fmt: skip
        finally:
            password.unlink()
        if code:
            raise ConfigError(f"PostgreSQL cannot be set up in {self._folder}: {_last(said)}")
        with open(half / "pg_hba.conf", "a") as file:
            file.write("host all all all scram-sha-256\n")
        os.replace(half, self._data)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop it; first let others read the results, unless ``at_once``.

        One that was found running is another's, and stays while anybody uses it.
        """
        if not self.is_running:
            return
        last = time.monotonic() + _PATIENCE
        while not at_once and self._others() and not self._is_adopted:
            if time.monotonic() > last:
                break
            time.sleep(0.2)
        if not (self._is_adopted and self._others()):
            self._call("pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop")

    def _others(self) -> int:
        """How many connections other processes have."""
        engine = sqlalchemy.create_engine(driven(self.url)[0])
        try:
            with engine.connect() as connection:
                asked = {"user": _USER, "ours": caller()}
                return connection.execute(sqlalchemy.text(_OTHERS), asked).scalar() or 0
        except SQLAlchemyError:
            return 0
        finally:
            engine.dispose()

    def _call(self, program: str, *arguments: str | Path) -> tuple[int, str]:
        """One of PostgreSQL's programs to its end; its exit code and what it said."""
        with open(os.devnull, "wb") as nothing:
            # What starts the server must not hand on a pipe, which would stay open as long.
            out = nothing if "start" in arguments else subprocess.PIPE
            done = subprocess.run(
                [self._programs / program, *arguments], cwd="/", stdin=subprocess.DEVNULL,
                stdout=out, stderr=out if out is nothing else subprocess.STDOUT,
                start_new_session=True, check=False, **self._as,
            )  # fmt: skip
        return done.returncode, (done.stdout or b"").decode(errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def _last(text: str) -> str:
    """The last line that tells something."""
    lines = [line for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
    return (wrong or lines or ["it says nothing"])[-1].strip()
