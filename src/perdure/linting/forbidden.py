"""What of the standard library and of well-known packages workflow code must not use, by the rule that says why.

`NAMES` are meant however they are used, also as a value handed on. `CALLS` are meant where they are called; one that
ends with a dot stands for everything below it.
"""

from typing import Final

__all__ = ["CALLS", "NAMES", "rule_of_call", "rule_of_name"]

NAMES: Final[dict[str, str]] = {
    name: code
    for code, names in {
        "PDR101": (
            "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter",
            "time.perf_counter_ns", "time.process_time", "time.thread_time", "time.gmtime", "time.ctime",
            "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
        ),
        "PDR104": ("uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7", "uuid.uuid8"),
        "PDR105": ("os.environ", "os.getenv", "sys.argv", "os.environb"),
        "PDR111": ("time.sleep",),
        "PDR113": ("sys.platform", "time.tzname", "time.timezone"),
    }.items()
    for name in names
}  # fmt: skip

CALLS: Final[dict[str, str]] = {
    name: code
    for code, names in {
        "PDR102": ("random.", "numpy.random."),
        "PDR103": ("secrets.", "os.urandom", "os.getrandom", "random.SystemRandom"),
        "PDR106": (
            "open", "io.open", "pathlib.Path().read_text", "pathlib.Path().read_bytes", "pathlib.Path().write_text",
            "pathlib.Path().write_bytes", "pathlib.Path().open", "pathlib.Path().exists", "pathlib.Path().is_file",
            "pathlib.Path().is_dir", "pathlib.Path().iterdir", "pathlib.Path().glob", "pathlib.Path().rglob",
            "pathlib.Path().stat", "pathlib.Path().mkdir", "pathlib.Path().unlink", "pathlib.Path().touch",
            "pathlib.Path().rename", "pathlib.Path().replace", "pathlib.Path().resolve", "pathlib.Path.cwd",
            "pathlib.Path.home", "os.listdir", "os.scandir", "os.walk", "os.stat", "os.remove", "os.unlink",
            "os.rename", "os.replace", "os.makedirs", "os.mkdir", "os.rmdir", "os.open", "os.getcwd", "os.chdir",
            "os.path.exists", "os.path.isfile", "os.path.isdir", "os.path.getsize", "os.path.getmtime",
            "os.path.realpath", "os.path.abspath", "os.path.expanduser", "shutil.", "tempfile.", "glob.", "fileinput.",
            "aiofiles.", "anyio.open_file",
        ),
        "PDR107": (
            "socket.", "urllib.request.", "http.client.", "smtplib.", "imaplib.", "poplib.", "ftplib.", "ssl.",
            "requests.", "httpx.", "aiohttp.", "urllib3.", "websockets.", "websocket.", "grpc.", "paramiko.", "boto3.",
            "botocore.", "openai.", "anthropic.", "stripe.", "kafka.", "aiokafka.", "pika.", "aio_pika.", "nats.",
            "asyncio.open_connection", "asyncio.start_server", "asyncio.open_unix_connection",
        ),
        "PDR108": (
            "sqlite3.", "apsw.", "psycopg.", "psycopg2.", "asyncpg.", "pymysql.", "aiomysql.", "MySQLdb.", "oracledb.",
            "pyodbc.", "redis.", "pymongo.", "motor.", "sqlalchemy.create_engine",
            "sqlalchemy.ext.asyncio.create_async_engine", "duckdb.", "aiosqlite.", "dbm.", "shelve.",
        ),
        "PDR109": (
            "subprocess.", "os.system", "os.popen", "os.fork", "os.spawnl", "os.spawnv", "os.execv", "os.execvp",
            "os.posix_spawn", "pty.", "asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell",
        ),
        "PDR110": (
            "threading.", "_thread.", "concurrent.futures.", "multiprocessing.", "asyncio.to_thread", "queue.",
        ),
        "PDR111": ("input", "select.", "selectors.", "signal.pause", "signal.sigwait", "getpass.getpass", "breakpoint"),
        "PDR112": (
            "asyncio.get_event_loop", "asyncio.get_running_loop", "asyncio.new_event_loop", "asyncio.set_event_loop",
            "asyncio.run", "asyncio.Runner", "asyncio.run_coroutine_threadsafe", "uvloop.", "trio.", "anyio.run",
            "signal.signal",
        ),
        "PDR113": (
            "platform.", "os.getpid", "os.getppid", "os.cpu_count", "os.uname", "os.getlogin", "os.getuid",
            "socket.gethostname", "socket.getfqdn", "getpass.getuser", "uuid.getnode", "psutil.", "resource.",
        ),
        "PDR114": ("print", "pprint.pprint", "sys.stdout.write", "sys.stderr.write"),
        "PDR115": ("logging.", "warnings.warn", "structlog."),
        "PDR116": (
            "time.localtime", "time.mktime", "time.strftime", "locale.", "datetime.date.fromtimestamp",
        ),
        "PDR202": ("id", "hash"),
        "PDR203": ("gc.", "weakref."),
        "PDR304": ("eval", "exec", "compile", "__import__", "importlib.", "runpy.", "globals"),
        "PDR404": ("perdure.Engine", "perdure.SyncEngine"),
        "PDR405": ("perdure.current_attempt", "perdure.heartbeat"),
        "PDR503": ("sys.exit", "os._exit", "os.abort", "os.kill", "exit", "quit"),
    }.items()
    for name in names
}  # fmt: skip


def rule_of_name(meaning: str) -> str:
    """Return the code of the rule that forbids a name, an empty text if none does."""
    return NAMES.get(meaning, "")


def rule_of_call(meaning: str) -> str:
    """Return the code of the rule that forbids a call, the most special one; an empty text if none does."""
    if meaning in CALLS:
        return CALLS[meaning]
    parts = meaning.split(".")
    for length in range(len(parts) - 1, 0, -1):
        code = CALLS.get(".".join(parts[:length]) + ".")
        if code:
            return code
    return ""
