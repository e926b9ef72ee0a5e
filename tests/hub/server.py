"""A Hub on loopback: the part of its HTTP protocol that models need, and the faults of networks and servers.

Repositories are commits of files. Weights and pickles are LFS files (SHA-256, sent from another address after a
redirect); all other files are git blobs (SHA-1).
"""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".pt")


@dataclass
class Repository:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files, ref="main"):
        """Add a commit with these files, and point the ref to it."""
        named = sorted((name, _blob(content)) for name, content in files.items())
        digest = hashlib.sha1(repr((named, len(self.commits))).encode()).hexdigest()
        self.commits[digest] = dict(files)
        self.refs[ref] = digest
        return digest


@dataclass
class Faults:
    status: int | None = None  # the answer to every request about a repository
    code: str | None = None  # its X-Error-Code
    cut_after: int | None = None  # a body breaks off after this number of bytes ...
    cuts: int = 0  # ... this number of times
    flip: bool = False  # one byte of every large file changes on the way
    short_length: bool = False  # the announced length, and the body, are half of what is missing
    no_ranges: bool = False  # ranges are ignored
    sha: object = None  # sent instead of a repository's commit
    oid: object = None  # sent instead of every file's hash


class Request(NamedTuple):
    method: str
    path: str
    range: str | None
    encoding: str | None
    token: str | None
    agent: str | None


class Hub:
    def __init__(self):
        self.repositories: dict[str, Repository] = {}
        self.faults = Faults()
        self.requests: list[Request] = []
        self.uploads: dict[str, bytes] = {}
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def publish(self, name, files, ref="main"):
        return self.repositories.setdefault(name, Repository()).commit(files, ref)

    def downloads(self, part="/lfs/"):
        """The requests for bodies whose path contains `part`; by default those of large files."""
        return [request for request in self.requests if request.method == "GET" and part in request.path]

    def ranges(self):
        return [request.range for request in self.downloads()]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer("HEAD")

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def do_PUT(self):
        self.answer("PUT")

    def answer(self, method):
        path = urlsplit(self.path).path
        headers = map(self.headers.get, ("Range", "Accept-Encoding", "Authorization", "User-Agent"))
        self.hub.requests.append(Request(method, path, *headers))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if self.hub.faults.status is not None and parts[0] != "lfs":
            self.refuse(self.hub.faults.status, self.hub.faults.code)
            return
        match (method, *parts):
            case ("POST", "api", "repos", "create"):
                repository = json.loads(body)
                name = "/".join(filter(None, (repository.get("organization"), repository["name"])))
                self.hub.repositories.setdefault(name, Repository())
                self.send({"url": f"{self.hub.endpoint}/{name}"})
            case ("POST", "api", "validate-yaml"):
                self.send({"errors": [], "warnings": []})
            case ("POST", "api", "models", owner, name, "preupload", _):
                large = [
                    {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular"}
                    for file in json.loads(body)["files"]
                ]
                self.send({"files": [file | {"shouldIgnore": False} for file in large]})
            case ("POST", owner, name, "info", "lfs", "objects", "batch"):
                self.send({"transfer": "basic", "objects": list(map(self.upload_action, json.loads(body)["objects"]))})
            case ("PUT", "lfs", digest):
                self.hub.uploads[digest] = body
                self.send({})
            case ("POST", "api", "models", owner, name, "commit", ref):
                self.take_commit(f"{owner}/{name}", ref, body)
            case ("GET", "lfs", digest):
                self.send_large(digest)
            case (_, "api", "models", owner, name):
                self.info(f"{owner}/{name}", "main")
            case (_, "api", "models", owner, name, "revision", revision):
                self.info(f"{owner}/{name}", revision)
            case (_, "api", "models", owner, name, "tree", revision, *_):
                self.tree(f"{owner}/{name}", revision)
            case (_, owner, name, "resolve", revision, *file):
                self.resolve(f"{owner}/{name}", revision, "/".join(file))
            case _:
                self.refuse(404, None)

    def find(self, name, revision):
        """Return the commit and its files; None after a refusal."""
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self.refuse(404, "RepoNotFound")
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            return self.refuse(404, "RevisionNotFound")
        return commit, repository.commits[commit]

    def info(self, name, revision):
        if found := self.find(name, revision):
            commit, files = found
            sha = commit if self.hub.faults.sha is None else self.hub.faults.sha
            siblings = [{"rfilename": file} for file in files]
            self.send({"id": name, "modelId": name, "sha": sha, "siblings": siblings, "tags": [], "downloads": 0})

    def tree(self, name, revision):
        if found := self.find(name, revision):
            self.send([_entry(file, content, self.hub.faults.oid) for file, content in found[1].items()])

    def resolve(self, name, revision, file):
        if not (found := self.find(name, revision)):
            return
        commit, files = found
        if file not in files:
            self.refuse(404, "EntryNotFound")
            return
        content = files[file]
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_blob(content)}"'}
        if file.endswith(LARGE):
            digest = _sha256(content)
            headers |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            self.send(b"", 302, headers | {"Location": f"{self.hub.endpoint}/lfs/{digest}"})
        else:
            self.send_body(content, headers)

    def send_large(self, digest):
        content = next(
            content
            for repository in self.hub.repositories.values()
            for files in repository.commits.values()
            for content in files.values()
            if _sha256(content) == digest
        )
        if self.hub.faults.flip:
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.send_body(content, {"ETag": f'"{digest}"'})

    def send_body(self, content, headers):
        faults, start, status = self.hub.faults, 0, 200
        requested = self.headers.get("Range")
        if requested and not faults.no_ranges:
            start, status = int(requested.removeprefix("bytes=").rstrip("-")), 206
            headers = headers | {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        body = content[start:]
        if faults.short_length:
            body = body[: (len(body) + 1) // 2]
        if faults.cuts and faults.cut_after is not None and len(body) > faults.cut_after:
            faults.cuts -= 1
            self.start(status, len(body), headers)
            self.wfile.write(body[: faults.cut_after])
            self.close_connection = True
        else:
            self.send(body, status, headers)

    def upload_action(self, file):
        return {**file, "actions": {"upload": {"href": f"{self.hub.endpoint}/lfs/{file['oid']}"}}}

    def take_commit(self, name, ref, body):
        repository = self.hub.repositories[name]
        files = dict(repository.commits.get(repository.refs.get(ref, ""), {}))
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
        commit = repository.commit(files, ref)
        self.send({"commitOid": commit, "commitUrl": f"{self.hub.endpoint}/{name}/commit/{commit}"})

    def refuse(self, status, code):
        headers = {"X-Error-Message": "refused"} | ({"X-Error-Code": code} if code else {})
        self.send({"error": "refused"}, status, headers)

    def send(self, body, status=200, headers=None):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers = (headers or {}) | {"Content-Type": "application/json"}
        self.start(status, len(body), headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)

    def start(self, status, length, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


def _entry(file, content, oid):
    entry = {"type": "file", "path": file, "size": len(content), "oid": _blob(content) if oid is None else oid}
    if file.endswith(LARGE):
        digest = _sha256(content) if oid is None else oid
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return entry


@cache
def _sha256(content):
    return hashlib.sha256(content).hexdigest()


@cache
def _blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
