"""Ed25519 signatures of bundles: who vouches for what runs.

A signature stands in ``config.json.sig`` and covers the bytes of ``config.json``, which holds the
hashes of ``model.safetensors`` and ``model.onnx``: task, labels, calibration and weights. The card
and ``training/`` are for people and are not covered. Each line is one signature,
``ed25519 KEY SIGNATURE``, with the key's fingerprint (the start of the sha256 of its 32 bytes) and
the signature in base64, so that a bundle can change hands from an old key to a new one.

Needs the package ``cryptography`` (extra ``security``), for those who use signatures alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nn_perception.bundle import (
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    MAX_SIGNATURE_BYTES,
    SIGNATURE_FILE,
    load_bundle,
)
from nn_perception.bundle_files import BundleDirectory
from nn_perception.bundle_writer import write_whole
from nn_perception.errors import BundleError, ConfigError

ALGORITHM = "ed25519"
PUBLIC_SUFFIX = ".pub"
MAX_KEYS = 64
MAX_KEY_BYTES = 16 << 10

Keys = Mapping[str, Any]
"""Public keys by fingerprint."""


def load_keys(path: Path | str) -> Keys:
    """Read trusted public keys.

    Args:
        path: a PEM file with an Ed25519 public key, or a directory of such files (``*.pub``).

    Raises:
        ConfigError: there is none, one is no such key, or ``cryptography`` is not installed.
    """
    path = Path(path).expanduser()
    files = sorted(path.glob(f"*{PUBLIC_SUFFIX}")) if path.is_dir() else [path]
    if not 1 <= len(files) <= MAX_KEYS:
        raise ConfigError(
            f"trusted_keys: {path} holds {len(files)} files *{PUBLIC_SUFFIX}, expected 1 to "
            f"{MAX_KEYS}; 'nn-perception sign --new-key FILE' writes FILE{PUBLIC_SUFFIX}"
        )
    keys = [_read_public(file) for file in files]
    return {fingerprint(key): key for key in keys}


def verify_signature(signed: bytes, signatures: bytes | None, keys: Keys) -> str:
    """Check that a trusted key signed the bytes; return its fingerprint.

    Args:
        signed: content of config.json.
        signatures: content of config.json.sig; None when there is no such file.
        keys: the trusted keys.

    Raises:
        BundleError: it is unsigned, altered, signed by other keys, or the file is damaged.
    """
    invalid = _cryptography("exceptions").InvalidSignature
    trusted = ", ".join(keys)
    if signatures is None:
        raise BundleError(
            f"the bundle is not signed; a signature by one of the keys {trusted} is required: "
            "nn-perception sign BUNDLE --key FILE"
        )
    found = read_signatures(signatures)
    known = [name for name in found if name in keys]
    if not known:
        raise BundleError(
            f"the bundle is signed by the foreign key {', '.join(found)}, trusted are: {trusted}"
        )
    for name in known:
        try:
            keys[name].verify(found[name], signed)
        except invalid:
            continue
        return name
    raise BundleError(
        f"the signature by {', '.join(known)} does not fit: {CONFIG_FILE} was altered after it was "
        "signed, or the signature is forged"
    )


def read_signatures(text: bytes) -> dict[str, bytes]:
    """Return the signatures in a file by the fingerprints of their keys, nothing verified.

    Raises:
        BundleError: the file is damaged or cut off.
    """
    found = {}
    for line in text.splitlines():
        words = line.split()
        try:
            algorithm, name, encoded = (word.decode("ascii") for word in words)
            signature = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            algorithm, name, signature = "", "", b""
        if algorithm != ALGORITHM or len(signature) != 64:
            raise BundleError(
                f"{SIGNATURE_FILE} is damaged or truncated; sign the bundle again: nn-perception "
                "sign BUNDLE --key FILE"
            )
        found[name] = signature
    if not found:
        raise BundleError(f"{SIGNATURE_FILE} is empty; sign the bundle again")
    return found


def signed_by(path: Path) -> list[str]:
    """Return the fingerprints that a bundle's signatures name, without verifying anything.

    Raises:
        BundleError: the file of signatures is damaged.
    """
    with BundleDirectory(path) as files:
        if not files.has(SIGNATURE_FILE):
            return []
        return list(read_signatures(files.read(SIGNATURE_FILE, MAX_SIGNATURE_BYTES)))


def sign_bundle(path: Path | str, key: Path) -> str:
    """Sign a bundle, in place of an older signature by the same key; return the fingerprint.

    The bundle is verified first: nobody should vouch for a damaged one. Signatures by other keys
    stay.

    Raises:
        BundleError: the bundle cannot be loaded or written.
        ConfigError: the key cannot be used, or ``cryptography`` is not installed.
    """
    private = _read_private(key)
    bundle = load_bundle(path)
    with BundleDirectory(bundle.path) as files:
        signed = files.read(CONFIG_FILE, MAX_CONFIG_BYTES)
        there = files.has(SIGNATURE_FILE)
        older = files.read(SIGNATURE_FILE, MAX_SIGNATURE_BYTES) if there else b""
    if hashlib.sha256(signed).hexdigest()[: len(bundle.id)] != bundle.id:
        raise BundleError(f"{bundle.path / CONFIG_FILE} changed while it was signed; try again")
    name = fingerprint(private.public_key())
    try:
        found = read_signatures(older) if older else {}
    except BundleError:
        found = {}
    marker = bundle.path / SIGNATURE_FILE
    found[name] = private.sign(signed)
    lines = [f"{ALGORITHM} {k} {base64.b64encode(s).decode()}\n" for k, s in found.items()]
    text = "".join(lines).encode()
    if len(text) > MAX_SIGNATURE_BYTES:
        raise BundleError(
            f"{marker} would have {len(found)} signatures and more than {MAX_SIGNATURE_BYTES} "
            "bytes, which nobody reads: delete the lines of keys that are no longer in use"
        )
    try:
        write_whole(marker, text)
    except OSError as error:
        raise BundleError(f"cannot write {marker}: {error.strerror or error}") from None
    return name


def new_key(path: Path) -> str:
    """Write a new private key, for its owner's eyes only, and its public one beside it.

    Returns:
        the fingerprint.

    Raises:
        ConfigError: a file is there already or cannot be written, or ``cryptography`` is not
            installed.
    """
    serialization = _cryptography("hazmat.primitives.serialization")
    private = _ed25519().Ed25519PrivateKey.generate()
    pem = serialization.Encoding.PEM
    secret = private.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    files = ((path, secret, 0o600), (path.with_name(path.name + PUBLIC_SUFFIX), public, 0o644))
    there = [target for target, *_ in files if target.exists()]
    if there:
        raise ConfigError(f"{there[0]} is there already; keys are never overwritten")
    for target, content, mode in files:
        try:
            # Created with its mode: at no moment may others read a private key.
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with open(descriptor, "wb") as file:
                file.write(content)
        except OSError as error:
            raise ConfigError(f"cannot write the key {target}: {error.strerror or error}") from None
    return fingerprint(private.public_key())


def fingerprint(public_key: Any) -> str:
    """Return the id of a public key: 16 hexadecimal digits."""
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:16]


def _read_public(path: Path) -> Any:
    load = _cryptography("hazmat.primitives.serialization").load_pem_public_key
    key = _read_key(path, load, "public")
    if not isinstance(key, _ed25519().Ed25519PublicKey):
        raise ConfigError(f"{path} holds no Ed25519 public key, but a {type(key).__name__}")
    return key


def _read_private(path: Path) -> Any:
    load = _cryptography("hazmat.primitives.serialization").load_pem_private_key
    key = _read_key(path, lambda data: load(data, password=None), "private")
    if not isinstance(key, _ed25519().Ed25519PrivateKey):
        raise ConfigError(f"{path} holds no Ed25519 private key, but a {type(key).__name__}")
    return key


def _read_key(path: Path, load: Callable[[bytes], Any], kind: str) -> Any:
    path = Path(path).expanduser().absolute()
    unsupported = _cryptography("exceptions").UnsupportedAlgorithm
    try:
        with BundleDirectory(path.parent) as files:
            data = files.read(path.name, MAX_KEY_BYTES)
    except BundleError:
        raise ConfigError(f"cannot read the key {path}; expected a small PEM file") from None
    try:
        return load(data)
    except (ValueError, TypeError, unsupported) as error:
        raise ConfigError(
            f"{path} holds no {kind} key in PEM without a password: {error!s:.200}"
        ) from None


def _ed25519() -> Any:
    return _cryptography("hazmat.primitives.asymmetric.ed25519")


def _cryptography(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"cryptography.{module}")
    except ImportError as error:
        raise ConfigError(
            f"signatures need the package cryptography, which is not installed ({error}): pip "
            "install nn-perception[security], or python3-cryptography of the distribution"
        ) from None
