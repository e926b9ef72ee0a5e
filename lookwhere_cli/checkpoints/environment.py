"""The environment variables that the way to the Hub depends on: what is wrong in one is said with its name and value.

It imports neither the Hub's client, which fails on some of them, nor anything heavy.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from lookwhere_cli.errors import ModelError

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SCHEMES = ("http", "https", "socks5", "socks5h")
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_ENDPOINTS = ("HF_ENDPOINT", "HF_INFERENCE_ENDPOINT")
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_NUMBERS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
_FOLDERS = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ASSETS_CACHE", "HUGGINGFACE_ASSETS_CACHE", "HF_HOME")
_CACHES = (*_FOLDERS, "XDG_CACHE_HOME")


def check_client() -> None:
    """Raise ModelError for a value that the Hub's client does not even start with."""
    for name in _NUMBERS:
        value = os.environ.get(name)
        if value is not None and re.fullmatch(r"\s*[+-]?\d+\s*", value) is None:
            raise ModelError(f"{name} is {value!r}, not a whole number of seconds; correct or unset it.")


def check_storage() -> None:
    """Raise ModelError if a cache of the Hub's client can't be a folder."""
    for name in _CACHES:
        value = os.environ.get(name)
        in_the_way = value and next((one for one in _upwards(Path(value).expanduser()) if one.exists()), None)
        if value and in_the_way and not in_the_way.is_dir():
            which = "a file" if in_the_way == Path(value).expanduser() else f"below the file {str(in_the_way)!r}"
            raise ModelError(f"{name} is {value!r}, which is {which}, not a folder; correct or unset it.")


def check_network() -> None:
    """Raise ModelError for a setting with which no connection to the Hub can be opened; nothing is sent."""
    check_client()
    check_storage()
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return
    for name, value in _given(_PROXIES):
        _check_proxy(name, value)
    for name, value in _given(_CERTIFICATES, cases=False):
        _check_certificates(name, value)
    for name, value in _given(_ENDPOINTS, cases=False):
        _check_endpoint(name, value)
    for name, value in _given(_TOKENS, cases=False):
        if re.fullmatch(r"[\x21-\x7e ]+", value.strip()) is None:
            raise ModelError(f"{name} holds characters that no token has; copy the token again, or unset it.")


def said_of_cache() -> str:
    """Return, in brackets after a space, the variables that name the cache; "" if none is set."""
    given = [f"{name}={value}" for name, value in _given(_CACHES, cases=False)]
    return f" (set: {', '.join(given)})" if given else ""


def said_of_environment() -> str:
    """Return, in brackets after a space, the variables that may be why the network failed; "" if none is set."""
    given = [f"{name}={_without_password(value)}" for name, value in _given(_PROXIES)]
    given += [f"{name}={value}" for name, value in _given((*_CERTIFICATES, *_ENDPOINTS), cases=False)]
    return f" (set: {', '.join(given)})" if given else ""


def _given(names: tuple[str, ...], cases: bool = True) -> Iterator[tuple[str, str]]:
    """Yield the variables that are set and not empty; with `cases`, also those in small letters."""
    for name in names:
        for spelled in (name.lower(), name) if cases else (name,):
            if value := os.environ.get(spelled):
                yield spelled, value


def _check_proxy(name: str, value: str) -> None:
    url = value if "://" in value else f"http://{value}"
    problem = _problem_of_url(url, _SCHEMES)
    if problem is None and urlsplit(url).scheme.startswith("socks") and not _has_socks():
        problem = "and SOCKS proxies need the package socksio (pip install socksio)"
    if problem is not None:
        raise ModelError(f"{name} is {_without_password(value)!r}, {problem}; correct or unset it.")


def _problem_of_url(url: str, schemes: tuple[str, ...]) -> str | None:
    """Return what is wrong with an address, as the end of a sentence; None if nothing is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"which is no address ({error})"
    if parts.scheme not in schemes:
        return f"which does not begin with {', '.join(f'{scheme}://' for scheme in schemes)}"
    if not host or re.search(r"[\s<>\"'{}|\\^`]", url):
        return "which is no address of a host"
    return None


def _has_socks() -> bool:
    from importlib.util import find_spec

    return find_spec("socksio") is not None


def _check_certificates(name: str, value: str) -> None:
    import ssl

    is_folder = name == "SSL_CERT_DIR"
    try:
        if is_folder and not Path(value).is_dir():
            raise NotADirectoryError("there is no such folder")
        if not is_folder:
            ssl.create_default_context(cafile=value)
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(
            f"{name} is {value!r}, which holds no certificates ({reason}); correct or unset it."
        ) from error


def _check_endpoint(name: str, value: str) -> None:
    problem = _problem_of_url(value, ("http", "https"))
    if problem is not None:
        raise ModelError(f"{name} is {value!r}, {problem}; correct or unset it.")


def _without_password(value: str) -> str:
    return re.sub(r"(^|//)[^/@]*@", r"\1***@", value)


def _upwards(path: Path) -> Iterator[Path]:
    yield path
    yield from path.parents
