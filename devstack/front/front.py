"""An HTTP front for the ClickHouse engine that runs inside this process (chdb).

The engine is ClickHouse's own; this file is not clickhouse-server. It speaks the part of the server's HTTP interface
that clients of the stack use. A request's body is read whole before its statement starts, so that a cut body executes
nothing; once it is whole, the statement is executed even if the client has gone. Insert data reaches the engine
through a file in memory. README.md lists what differs from a server.
"""

import argparse
import base64
import collections
import contextlib
import ctypes
import gzip
import hmac
import importlib.util
import itertools
import json
import os
import re
import signal
import socketserver
import ssl
import struct
import sys
import threading
import time
import traceback
import types
import urllib.parse
import uuid
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import lz4.block
import lz4.frame
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

# ---------------------------------------------------------------------------------------------------------- errors

NAMES = {
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    40: "CHECKSUM_DOESNT_MATCH",
    48: "NOT_IMPLEMENTED",
    62: "SYNTAX_ERROR",
    89: "UNKNOWN_COMPRESSION_METHOD",
    115: "UNKNOWN_SETTING",
    216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    271: "CANNOT_DECOMPRESS",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    516: "AUTHENTICATION_FAILED",
}

# Which HTTP status goes with which exception code; every other code is a 500.
STATUS_CODES = {
    400: {6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676},
    401: {194},
    403: {192, 193, 497, 512, 516},
    404: {46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511},
    408: {159},
    411: {381},
    413: {229},
    415: {779},
    501: {48},
    503: {76, 209, 439},
}
STATUS_OF_CODE = {code: status for status, codes in STATUS_CODES.items() for code in codes}


class DbError(Exception):
    """An error that the client sees as ClickHouse's: a code and a text."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code, self.text = code, text

    @classmethod
    def of_front(cls, code, message):
        return cls(code, f"Code: {code}. DB::Exception: {message} ({NAMES.get(code, 'UNKNOWN')})")

    @classmethod
    def of_engine(cls, message, comment):
        """Undoes what the detour through a file and our comment add to the engine's own text."""
        match = re.match(r"Code: (\d+)\. DB::Exception: ", message)
        if not match:
            return cls(1002, f"Code: 1002. DB::Exception: {message} (UNKNOWN_EXCEPTION)")
        prefix, tail = match.group(0), re.search(r" \(([A-Z0-9_]+)\)$", message)
        while message.startswith(prefix * 2):
            message = message[len(prefix) :]
        if tail:
            nested = re.compile(re.escape(tail.group(0)) + r" \(version [^()]*\)\.")
            message = nested.sub("", message)
        message = re.sub(r"\(in file/uri /proc/self/fd/\d+\): ", "", message)
        message = re.sub(r": While executing File: data for INSERT was parsed from file\.?", "", message)
        message = re.sub(
            r"failed at position (\d+)",
            lambda found: f"failed at position {shifted if (shifted := int(found[1]) - len(comment)) > 0 else found[1]}",
            message.replace(comment, ""),
        )
        return cls(int(match.group(1)), message)


class Truncated(Exception):
    """The client stopped before its body was whole: nothing is executed and nobody is there to be answered."""


class Dropped(Exception):
    """A fault switch asked for the connection to be closed without an answer."""


# ------------------------------------------------------------------------------------------------------ statements

TOKEN = re.compile(
    rb"""
    (?P<space>   \s+ | --[^\n]* | \#[ !][^\n]* | /\*.*?\*/ )
  | (?P<string>  '[^'\\]*(?:(?:\\.|'')[^'\\]*)*' )
  | (?P<quoted>  `[^`\\]*(?:(?:\\.|``)[^`\\]*)*` | "[^"\\]*(?:(?:\\.|"")[^"\\]*)*" )
  | (?P<heredoc> \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ )
  | (?P<word>    [A-Za-z_][A-Za-z0-9_]* )
  | (?P<number>  [0-9][0-9A-Za-z_.]* )
  | (?P<other>   . )
    """,
    re.VERBOSE | re.DOTALL,
)
Token = collections.namedtuple("Token", "kind text start end")


def tokens(sql, start=0):
    for match in TOKEN.finditer(sql, start):
        if match.lastgroup != "space":
            yield Token(match.lastgroup, match.group(), match.start(), match.end())


class Insert:
    """An INSERT with data: `sql` with the data's file still to be named, the data's format, and data in the statement."""

    def __init__(self, before, after, form, inline):
        self.before, self.after, self.form, self.inline = before, after, form, inline

    def sql(self, path):
        return self.before + path + self.after


def parse_insert(sql):
    """Gives the Insert when `sql` is an INSERT that takes data, else None (also for text that is no valid statement)."""
    stream = tokens(sql)
    first = next(stream, None)
    if first is None or first.text.upper() != b"INSERT":
        return None
    depth, select, source, previous = 0, False, None, first
    for token in stream:
        word = token.text.upper() if token.kind == "word" else token.text
        if word in (b"(", b"[", b"{"):
            depth += 1
            if word == b"(" and previous.text.lower() == b"input" and previous.kind == "word":
                source = input_call(sql, previous, token) or source
        elif word in (b")", b"]", b"}"):
            depth -= 1
        elif depth == 0 and token.kind == "word":
            if word in (b"SELECT", b"WITH"):
                select = True
            elif word == b"INFILE" and previous.text.upper() == b"FROM":
                return None
            elif word == b"VALUES" and not select:
                return Insert(sql[: token.start] + b"FROM INFILE '", b"' FORMAT Values", "Values", sql[token.end :])
            elif word == b"FORMAT":
                return insert_with_format(sql, token, select, source)
        previous = token
    return None


def input_call(sql, name, bracket):
    """The span of `input('structure')` and its argument; None when it is some other use of the word."""
    argument, close = next(tokens(sql, bracket.end), None), None
    if argument is not None and argument.kind == "string":
        close = next(tokens(sql, argument.end), None)
    if close is None or close.text != b")":
        return None
    return name.start, close.end, argument.text


def insert_with_format(sql, keyword, select, source):
    form = next(tokens(sql, keyword.end), None)
    if form is None or form.kind != "word" or (select and source is None):
        return None
    # The data starts after blanks and at most one line end.
    inline = re.sub(rb"^[ \t]*(?:;[ \t]*)?(?:\r?\n)?", b"", sql[form.end :], count=1)
    head = sql[: keyword.start].rstrip()
    if not select:
        # SETTINGS of an INSERT stand before FORMAT, but after INFILE.
        settings = next((t for t in tokens(head) if t.text.upper() == b"SETTINGS"), None)
        cut = settings.start if settings else len(head)
        before, after = head[:cut] + b" FROM INFILE '", b"' " + head[cut:] + b" FORMAT " + form.text
    else:
        start, end, structure = source
        before, after = head[:start] + b"file('", b"', " + form.text + b", " + structure + b")" + head[end:]
    return Insert(before, after, form.text.decode(), inline)


def check_single(sql):
    """Refuses an empty statement and several in one request, as the server does; gives it without a last semicolon."""
    end, empty = None, True
    for token in tokens(sql):
        if end is not None:
            message = f"Syntax error (Multi-statements are not allowed): failed at position {end + 1} (end of query): ;."
            raise DbError.of_front(62, message)
        if token.text == b";":
            end = token.start
        else:
            empty = False
    if empty:
        raise DbError.of_front(62, "Empty query.")
    return sql if end is None else sql[:end]


def with_own_processes(sql):
    """Reads `system.processes` through the view that shows the requests' query ids."""
    if b"processes" not in sql.lower():
        return sql
    found, out, at = [], [], 0
    for token in tokens(sql):
        found = [*found[-2:], token]
        if b"".join(t.text for t in found).lower() == b"system.processes":
            out += [sql[at : token.start], b"devstack_processes"]
            at = token.end
    return b"".join(out) + sql[at:]


def with_query_id(sql, query_id):
    """Puts the request's query id into a comment after the first word, where `system.processes` keeps it."""
    first = next(tokens(sql), None)
    comment = f" /*devstack:{urllib.parse.quote(query_id, safe='')}*/"
    return sql[: first.end] + comment.encode() + sql[first.end :], comment


PROCESSES_VIEW = r"""
CREATE OR REPLACE VIEW system.devstack_processes AS SELECT * REPLACE (
    if(position(query, '/*devstack:') > 0, decodeURLComponent(extract(query, '/\\*devstack:(.*?)\\*/')), query_id)
        AS query_id,
    replaceRegexpOne(query, ' /\\*devstack:.*?\\*/', '') AS query)
FROM system.processes
"""

# ---------------------------------------------------------------------------------------------------------- bodies

FRAME_BYTES = 1 << 20


def decode_native(body):
    """Yields the blocks of ClickHouse's own compressed stream, each checked against its CityHash128."""
    view, at = memoryview(body), 0
    while at < len(view):
        if len(view) - at < 25:
            raise DbError.of_front(32, "Attempt to read after eof.")
        high, low, method, packed, size = struct.unpack_from("<QQBII", view, at)
        end = at + 16 + packed
        if packed < 9 or end > len(view):
            raise DbError.of_front(32, "Attempt to read after eof.")
        if CityHash128(view[at + 16 : end]) != (high << 64) + low:
            message = f"Checksum doesn't match: corrupted data. Size of compressed block: {packed}."
            raise DbError.of_front(40, message)
        data = view[at + 25 : end]
        try:
            if method == 0x82:
                yield lz4.block.decompress(data, uncompressed_size=size)
            elif method == 0x90:
                yield zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
            elif method == 0x02:
                yield data
            else:
                raise DbError.of_front(89, f"Unknown compression method: {method}.")
        except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
            raise DbError.of_front(271, f"Cannot decompress: {error}.") from error
        at = end


def encode_native(body):
    out, view = [], memoryview(body)
    for at in range(0, len(view), FRAME_BYTES):
        part = view[at : at + FRAME_BYTES]
        packed = lz4.block.compress(part, store_size=False)
        frame = struct.pack("<BII", 0x82, len(packed) + 9, len(part)) + packed
        checksum = CityHash128(frame)
        out += [struct.pack("<QQ", checksum >> 64, checksum & (2**64 - 1)), frame]
    return b"".join(out)


DECODERS = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
    "lz4": lz4.frame.decompress,
}
ENCODERS = {
    "zstd": lambda body: zstandard.ZstdCompressor(level=1).compress(body),
    "lz4": lz4.frame.compress,
    "gzip": lambda body: gzip.compress(body, 1),
    "deflate": lambda body: zlib.compress(body, 1),
}


class MemoryFiles:
    """Files in memory that the engine reads insert data from.

    They are reused, because giving fresh pages to tens of megabytes costs more than copying into old ones, and they
    need no clearing away: they end with the process.
    """

    IDLE_MAX = 4

    def __init__(self):
        self.idle = []

    @contextlib.contextmanager
    def holding(self, blocks):
        try:
            handle = self.idle.pop()
        except IndexError:
            handle = os.memfd_create("devstack-insert")
        try:
            size = 0
            for block in blocks:
                size += os.pwrite(handle, block, size)
            os.ftruncate(handle, size)
            yield f"/proc/self/fd/{handle}".encode()
        finally:
            if len(self.idle) < self.IDLE_MAX:
                self.idle.append(handle)
            else:
                os.close(handle)


# ---------------------------------------------------------------------------------------------------------- engine


def load_chdb():
    """Loads the engine's extension module without the Python package around it, which wants pandas and pyarrow."""
    folder = os.path.join(os.path.dirname(importlib.util.find_spec("lz4").origin), "..", "chdb")
    folder = os.path.abspath(folder)
    package = types.ModuleType("chdb")
    package.__path__ = [folder]
    sys.modules["chdb"] = package
    # Its own allocator must win over the C++ library's, wherever the module is loaded.
    ctypes.CDLL(os.path.join(folder, "_chdb.abi3.so"), mode=sys.getdlopenflags() | os.RTLD_DEEPBIND)
    from chdb import _chdb

    return _chdb


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Session:
    """A connection that keeps what a client's session made: temporary tables, settings."""

    def __init__(self, connection):
        self.connection, self.lock, self.expires = connection, threading.Lock(), 0.0


class Engine:
    def __init__(self, path, config):
        self.chdb = load_chdb()
        # What differs by default between the embedded engine and a server.
        options = {"implicit_select": "0", "allow_introspection_functions": "0"}
        if config:
            options["config-file"] = config
        self.target = f"{path}?{'&'.join(f'{name}={value}' for name, value in options.items())}"
        # The engine lives as long as one connection does.
        self.root = self.chdb.connect(self.target)
        self.version = self.scalar("SELECT version()")
        self.timezone = self.scalar("SELECT serverTimezone()")
        # Engines before 26 have one connection per process, so that their statements run one after another.
        self.single = threading.Lock() if int(self.version.split(".")[0]) < 26 else None
        self.sessions, self.sessions_lock = {}, threading.Lock()
        self.root.query(PROCESSES_VIEW, "TSV")

    def scalar(self, sql):
        return bytes(self.root.query(sql, "TSV").bytes()).decode().strip()

    def run(self, sql, form, settings, database, session):
        """Executes one statement under these settings; gives the engine's result object."""
        if self.single:
            with self.single:
                try:
                    return self.query(self.root, sql, form, settings, database)
                finally:
                    self.reset(self.root, settings, database or "default")
        if session:
            with self.in_session(*session) as connection:
                try:
                    return self.query(connection, sql, form, settings, database)
                finally:
                    self.reset(connection, settings, None)
        connection = self.chdb.connect(self.target)
        try:
            return self.query(connection, sql, form, settings, database)
        finally:
            connection.close()

    def query(self, connection, sql, form, settings, database):
        if database:
            connection.query(f"USE `{database}`", "TSV")
        if settings:
            assignments = ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items())
            connection.query("SET " + assignments, "TSV")
        return connection.query(sql, form)

    def reset(self, connection, settings, database):
        for name in settings:
            if not name.startswith("param_"):
                with contextlib.suppress(RuntimeError):
                    connection.query(f"SET {name} = DEFAULT", "TSV")
        if database:
            connection.query("USE default", "TSV")

    @contextlib.contextmanager
    def in_session(self, name, check, timeout):
        with self.sessions_lock:
            now = time.monotonic()
            for old in [key for key, s in self.sessions.items() if s.expires < now and not s.lock.locked()]:
                self.sessions.pop(old).connection.close()
            if name not in self.sessions:
                if check:
                    raise DbError.of_front(372, f"Session {name} not found.")
                self.sessions[name] = Session(self.chdb.connect(self.target))
            session = self.sessions[name]
            if not session.lock.acquire(blocking=False):
                raise DbError.of_front(373, f"Session {name} is locked by a concurrent client.")
        try:
            yield session.connection
        finally:
            session.expires = time.monotonic() + timeout
            session.lock.release()


# ---------------------------------------------------------------------------------------------------------- faults


class Faults:
    """Switches for tests: what happens to the next statements that match.

    {"match": regex, "when": "before" | "after" execution, "do": "drop" | "error" | "hold", "code", "text", "times"}
    """

    def __init__(self):
        self.lock, self.ids, self.armed = threading.Lock(), itertools.count(1), {}

    def add(self, order):
        fault = {"when": "before", "code": 241, "text": "devstack: fault switch", "times": 1, **order, "hits": 0}
        fault["regex"] = re.compile(fault["match"].encode(), re.DOTALL)
        if fault["when"] not in ("before", "after") or fault["do"] not in ("drop", "error", "hold"):
            raise ValueError("when is before or after, do is drop, error or hold")
        fault["id"], fault["released"] = next(self.ids), threading.Event()
        with self.lock:
            self.armed[fault["id"]] = fault
        return {"id": fault["id"]}

    def release(self, order):
        with self.lock:
            fault = self.armed.pop(order["id"])
        fault["released"].set()
        return {"hits": fault["hits"]}

    def listing(self, _order):
        with self.lock:
            return [{key: fault[key] for key in ("id", "match", "when", "do", "hits")} for fault in self.armed.values()]

    def strike(self, when, statement):
        with self.lock:
            struck = [
                fault
                for fault in self.armed.values()
                if fault["when"] == when and fault["hits"] < fault["times"] and fault["regex"].search(statement)
            ]
            for fault in struck:
                fault["hits"] += 1
        for fault in struck:
            if fault["do"] == "hold":
                fault["released"].wait()
            elif fault["do"] == "error":
                code = fault["code"]
                raise DbError(code, f"Code: {code}. DB::Exception: {fault['text']}")
            else:
                raise Dropped


# ------------------------------------------------------------------------------------------------------------ HTTP

# URL parameters that are not settings.
PARAMETERS = frozenset(
    "query query_id user password database default_format session_id session_timeout session_check close_session "
    "compress decompress buffer_size wait_end_of_query quota_key stacktrace role client_protocol_version".split()
)
CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
}
OUTPUT_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b.*)?$", re.IGNORECASE | re.DOTALL)


class Front:
    """What the request handlers share."""

    def __init__(self, engine, users):
        self.engine, self.users = engine, users
        self.files, self.faults = MemoryFiles(), Faults()
        self.running, self.running_lock = set(), threading.Lock()

    @contextlib.contextmanager
    def listed(self, query_id):
        with self.running_lock:
            if query_id in self.running:
                raise DbError.of_front(216, f"Query with id = {query_id} is already running.")
            self.running.add(query_id)
        try:
            yield
        finally:
            with self.running_lock:
                self.running.discard(query_id)

    def execute(self, request):
        """Runs the statement of a request; gives (format, body, summary)."""
        insert = parse_insert(request.statement)
        with self.listed(request.query_id):
            self.faults.strike("before", request.statement)
            if insert:
                blocks = itertools.chain([insert.inline], request.data)
                if insert.form == "Values":
                    blocks = [b"".join(blocks).rstrip(b" \r\n\t;")]
                with self.files.holding(blocks) as path:
                    answer = self.execute_sql(request, insert.sql(path))
            else:
                statement = b"\n".join(part for part in (request.statement, b"".join(request.data)) if part)
                answer = self.execute_sql(request, check_single(statement))
            self.faults.strike("after", request.statement)
        return answer

    def execute_sql(self, request, sql):
        if self.engine.single and re.match(rb"\s*DROP\b", sql, re.IGNORECASE):
            # The older engine never ends the wait that SYNC asks for.
            sql = re.sub(rb"\s+SYNC\s*$", b"", sql, flags=re.IGNORECASE)
        sql, comment = with_query_id(with_own_processes(sql), request.query_id)
        try:
            result = self.engine.run(sql, request.form, request.settings, request.database, request.session)
        except RuntimeError as error:
            raise DbError.of_engine(str(error), comment) from error
        named = OUTPUT_FORMAT.search(sql)
        form = named[1].decode() if named else request.form
        return form, bytes(result.bytes()), summary(result, sql)


def summary(result, sql):
    """The text of X-ClickHouse-Summary; None where the engine does not tell how much an INSERT wrote."""
    if not hasattr(result, "rows_written"):
        if sql.lstrip()[:6].upper() == b"INSERT":
            return None
        written = (0, 0)
    else:
        written = (result.rows_written(), result.bytes_written())
    values = {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "written_rows": written[0],
        "written_bytes": written[1],
        "total_rows_to_read": 0,
        "result_rows": result.rows_read(),
        "result_bytes": result.bytes_read(),
        "elapsed_ns": int(result.elapsed() * 1e9),
    }
    return json.dumps({name: str(value) for name, value in values.items()}, separators=(",", ":"))


# `http://host:port/profile/final=1&limit=5` is the server as a user sees it whose profile has these settings.
PROFILE = "/profile/"


class Request:
    """One statement as the client sent it: URL and headers read, body decoded."""

    def __init__(self, method, url, headers, body):
        query = urllib.parse.parse_qsl(url.query, keep_blank_values=True, strict_parsing=False)
        params = dict(query)
        self.query_id = params.get("query_id") or headers.get("X-ClickHouse-Query-Id") or str(uuid.uuid4())
        self.user, self.password = credentials(params, headers)
        self.database = params.get("database") or headers.get("X-ClickHouse-Database")
        self.form = params.get("default_format") or headers.get("X-ClickHouse-Format") or "TabSeparated"
        self.compress = params.get("compress") == "1"
        self.decompress = params.get("decompress") == "1"
        self.session = None
        if params.get("session_id"):
            timeout = float(params.get("session_timeout", "60"))
            self.session = (params["session_id"], params.get("session_check") == "1", timeout)
        _, _, profile = url.path.partition(PROFILE)
        profile = urllib.parse.parse_qsl(profile, keep_blank_values=True)
        sent = {name: value for name, value in params.items() if name not in PARAMETERS}
        self.settings = dict(profile) | sent
        if method == "GET":
            self.settings["readonly"] = "2"
        self.encoding = None
        if self.settings.get("enable_http_compression") in ("1", "true"):
            accepted = headers.get("Accept-Encoding", "")
            self.encoding = next((name for name in ENCODERS if name in accepted), None)
        self.url_statement = params.get("query", "").encode("utf-8", "surrogateescape")
        self.content_encoding, self.body = headers.get("Content-Encoding", "").strip().lower(), body
        self.statement, self.data = self.url_statement, []

    def check(self):
        for name in self.settings:
            if not re.fullmatch(r"\w+", name):
                raise DbError.of_front(115, f"Unknown setting '{name}'.")

    def decode(self):
        """Splits the request into its statement and its data, both decompressed."""
        body = self.body
        if self.content_encoding and body:
            if self.content_encoding not in DECODERS:
                raise DbError.of_front(48, f"Unknown content encoding {self.content_encoding}.")
            try:
                body = DECODERS[self.content_encoding](body)
            except (OSError, EOFError, zlib.error, zstandard.ZstdError, RuntimeError) as error:
                raise DbError.of_front(271, f"Cannot decompress: {error}.") from error
        blocks = decode_native(body) if self.decompress else [body]
        if self.url_statement:
            self.data = blocks
        else:
            self.statement = b"".join(blocks)

    def encode(self, body):
        if self.compress:
            return encode_native(body)
        return ENCODERS[self.encoding](body) if self.encoding else body


def credentials(params, headers):
    if headers.get("X-ClickHouse-User"):
        return headers["X-ClickHouse-User"], headers.get("X-ClickHouse-Key", "")
    kind, _, value = headers.get("Authorization", "").partition(" ")
    if kind.lower() == "basic":
        user, _, password = base64.b64decode(value).decode("utf-8", "replace").partition(":")
        return user, password
    return params.get("user", "default"), params.get("password", "")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = 1 << 16
    disable_nagle_algorithm = True

    def setup(self):
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def do_GET(self):
        try:
            self.answer()
        except (Truncated, Dropped, ConnectionError) as reason:
            self.log(f"connection closed: {type(reason).__name__}")
            self.close_connection = True

    do_POST = do_GET

    def answer(self):
        body = self.read_body()
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/ping" or (url.path == "/" and self.command == "GET" and not url.query):
            self.send(200, {}, b"Ok.\n")
        elif url.path.startswith("/devstack/"):
            self.control(url.path.removeprefix("/devstack/"), body)
        elif url.path == "/" or url.path.startswith(PROFILE):
            self.statement(Request(self.command, url, self.headers, body))
        else:
            self.send(404, {}, f"There is no handle {url.path}\n".encode())

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.read_exactly(int(self.headers.get("Content-Length", "0")))
        chunks = []
        while True:
            line = self.rfile.readline(1024)
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise Truncated from None
            if size == 0:
                break
            chunks.append(self.read_exactly(size))
            self.read_exactly(2)
        while (line := self.rfile.readline(65536)) not in (b"\r\n", b"\n"):
            if not line:
                raise Truncated
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def read_exactly(self, size):
        data = self.rfile.read(size) if size else b""
        if len(data) < size:
            raise Truncated
        return data

    def statement(self, request):
        front, started = self.server.front, time.monotonic()
        headers = {"X-ClickHouse-Query-Id": request.query_id, "X-ClickHouse-Timezone": front.engine.timezone}
        try:
            password = front.users.get(request.user)
            if password is None or not hmac.compare_digest(password.encode(), request.password.encode()):
                message = "Authentication failed: password is incorrect, or there is no user with such name."
                raise DbError.of_front(516, f"{request.user}: {message}")
            request.check()
            request.decode()
            form, body, told = front.execute(request)
            status, code = 200, 0
            headers["X-ClickHouse-Format"] = form
            headers["Content-Type"] = CONTENT_TYPES.get(form, "application/octet-stream")
            if told:
                headers["X-ClickHouse-Summary"] = told
        except (Dropped, Truncated):
            raise
        except Exception as error:
            if not isinstance(error, DbError):
                traceback.print_exc()
                error = DbError(1001, f"Code: 1001. DB::Exception: devstack front: {error!r} (STD_EXCEPTION)")
            status, code = STATUS_OF_CODE.get(error.code, 500), error.code
            headers["X-ClickHouse-Exception-Code"] = str(code)
            headers["Content-Type"] = "text/plain; charset=UTF-8"
            body = f"{error.text} (version {front.engine.version} (official build))\n".encode("utf-8", "replace")
        if request.encoding and not request.compress:
            headers["Content-Encoding"] = request.encoding
        took = (time.monotonic() - started) * 1000
        shown = request.statement[:300].decode("utf-8", "replace").replace("\n", " ")
        self.log(f"{status} {code} {took:.1f} ms {request.query_id} {len(request.body)} bytes: {shown}")
        self.send(status, headers, request.encode(body))

    def control(self, action, body):
        faults = self.server.front.faults
        actions = {"fault": faults.add, "release": faults.release, "faults": faults.listing}
        try:
            reply = actions[action](json.loads(body or b"{}"))
        except (KeyError, ValueError, re.error) as error:
            self.send(400, {}, f"devstack: {type(error).__name__}: {error}\n".encode())
        else:
            self.send(200, {"Content-Type": "application/json"}, json.dumps(reply).encode())

    def send(self, status, headers, body):
        lines = [f"HTTP/1.1 {status} {self.responses[status][0]}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append("Connection: close" if self.close_connection else "Connection: Keep-Alive\r\nKeep-Alive: timeout=60")
        self.wfile.write("\r\n".join([*lines, "\r\n"]).encode("utf-8", "replace") + body)

    def log(self, text):
        print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)

    def log_message(self, form, *args):
        self.log(form % args)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address, front, tls):
        self.front, self.tls = front, tls
        super().__init__(address, Handler)

    def get_request(self):
        connection, address = super().get_request()
        if self.tls:
            # The handshake is left to the connection's own thread.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
            socketserver.BaseServer.handle_error(self, request, client_address)


def main():
    parser = argparse.ArgumentParser(description="HTTP front for the embedded ClickHouse engine")
    parser.add_argument("--path", required=True, help="the engine's data folder")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--config", help="engine configuration file")
    parser.add_argument("--user", action="append", default=[], help="name:password; default without one if none is given")
    parser.add_argument("--certificate", help="serve HTTPS with this PEM file")
    parser.add_argument("--key", help="the certificate's key")
    args = parser.parse_args()
    for name in ("path", "config", "certificate", "key"):
        if getattr(args, name):
            setattr(args, name, os.path.abspath(getattr(args, name)))
    # The engine writes schemas of Protobuf that come with a statement beside where it was started.
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    tls = None
    if args.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(args.certificate, args.key)
    users = dict(user.split(":", 1) for user in args.user) or {"default": ""}
    engine = Engine(args.path, args.config)
    server = Server(("127.0.0.1", args.port), Front(engine, users), tls)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.05)
    engine.root.close()
    os._exit(0)


if __name__ == "__main__":
    main()
