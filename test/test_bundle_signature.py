"""Signatures: who signed what, and everything that is not so is refused with its reason."""

import base64
import importlib
import json
import shutil
import subprocess

import pytest

from nn_perception import bundle_signature
from nn_perception.bundle import CARD_FILE, CONFIG_FILE, ONNX_FILE, SIGNATURE_FILE, load_bundle
from nn_perception.bundle_signature import load_keys, new_key, read_signatures, sign_bundle
from nn_perception.cli.main import main
from nn_perception.errors import BundleError, ConfigError
from nn_perception.share import shipped_model

pytest.importorskip("cryptography")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two key pairs, ``ours`` and ``foreign``."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "foreign"):
        new_key(folder / name)
    return folder


@pytest.fixture
def bundle(tmp_path):
    """A bundle that nobody has signed."""
    return shutil.copytree(shipped_model("uwb_drone"), tmp_path / "model")


def test_a_signed_bundle_is_loaded_and_names_its_signer(bundle, keys):
    name = sign_bundle(bundle, keys / "ours")
    loaded = load_bundle(bundle, trusted_keys=keys / "ours.pub")
    assert loaded.signer == name
    assert loaded.id == load_bundle(shipped_model("uwb_drone")).id  # signing does not change it
    assert load_bundle(bundle).signer == ""  # not asked for, not claimed


def test_the_signature_is_plain_ed25519_over_the_bytes_of_config_json(bundle, keys):
    """Verified with OpenSSL's own program, and with the raw key from the PEM file."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    name = sign_bundle(bundle, keys / "ours")
    algorithm, signer, encoded = (bundle / SIGNATURE_FILE).read_text().split()
    assert (algorithm, signer) == ("ed25519", name)
    der = base64.b64decode("".join((keys / "ours.pub").read_text().splitlines()[1:-1]))
    signature, config = base64.b64decode(encoded), (bundle / CONFIG_FILE).read_bytes()
    Ed25519PublicKey.from_public_bytes(der[-32:]).verify(signature, config)
    if shutil.which("openssl"):
        (bundle / "raw").write_bytes(signature)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-rawin"]
        command += ["-inkey", keys / "ours.pub", "-in", bundle / CONFIG_FILE]
        subprocess.run([*command, "-sigfile", bundle / "raw"], check=True, capture_output=True)


def test_unsigned(bundle, keys):
    with pytest.raises(BundleError, match="model: the bundle is not signed"):
        load_bundle(bundle, trusted_keys=keys / "ours.pub")


def test_foreign_key(bundle, keys):
    name = sign_bundle(bundle, keys / "foreign")
    with pytest.raises(BundleError, match=f"foreign key {name}, trusted are"):
        load_bundle(bundle, trusted_keys=keys / "ours.pub")


def test_foreign_signature_under_the_name_of_a_trusted_key(bundle, keys):
    sign_bundle(bundle, keys / "foreign")
    text = (bundle / SIGNATURE_FILE).read_text().split()
    text[1] = next(iter(load_keys(keys / "ours.pub")))
    (bundle / SIGNATURE_FILE).write_text(" ".join(text))
    with pytest.raises(BundleError, match="does not fit"):
        load_bundle(bundle, trusted_keys=keys / "ours.pub")


@pytest.mark.parametrize("what", ["labels", "calibration", "one blank", "weights", "both"])
def test_altered_after_signing(bundle, keys, what):
    sign_bundle(bundle, keys / "ours")
    path = bundle / CONFIG_FILE
    config = json.loads(path.read_bytes())
    if what == "one blank":
        path.write_bytes(path.read_bytes() + b" ")
    elif what == "weights":
        data = bytearray((bundle / ONNX_FILE).read_bytes())
        data[-20] ^= 1
        (bundle / ONNX_FILE).write_bytes(data)
    else:
        config["labels" if what == "labels" else "metrics"] = ["x"] if what == "labels" else {}
        config["files"][ONNX_FILE]["sha256"] = "0" * 64
        path.write_text(json.dumps(config))
    with pytest.raises(BundleError, match="sha256" if what == "weights" else "was altered"):
        load_bundle(bundle, trusted_keys=keys / "ours.pub")


def test_the_card_is_not_covered(bundle, keys):
    sign_bundle(bundle, keys / "ours")
    (bundle / CARD_FILE).write_text("other words")
    assert load_bundle(bundle, trusted_keys=keys / "ours.pub").signer


@pytest.mark.parametrize("cut", [0, 1, 20, 60, 108])
def test_truncated_signature(bundle, keys, cut):
    sign_bundle(bundle, keys / "ours")
    path = bundle / SIGNATURE_FILE
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BundleError, match=r"damaged or truncated|is empty"):
        load_bundle(bundle, trusted_keys=keys / "ours.pub")


@pytest.mark.parametrize("text", [b"\xff\xfe", b"rsa a " + b"A" * 88, b"ed25519 a !!!", b"\n" * 9])
def test_damaged_signature(text):
    with pytest.raises(BundleError, match=r"damaged or truncated"):
        read_signatures(text)


def test_oversized_signature_and_links_are_not_read(bundle, keys, tmp_path):
    path = bundle / SIGNATURE_FILE
    path.write_bytes(b"ed25519 " * 1000)
    with pytest.raises(BundleError, match="more than the limit of 4096"):
        load_bundle(bundle, trusted_keys=keys / "ours.pub")
    path.unlink()
    sign_bundle(bundle, keys / "ours")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="symbolic link"):
        load_bundle(bundle, trusted_keys=keys / "ours.pub", model_root=tmp_path)


def test_the_signature_is_looked_at_before_what_it_covers(bundle, keys):
    (bundle / CONFIG_FILE).write_text("{")
    with pytest.raises(BundleError, match="not signed"):
        load_bundle(bundle, trusted_keys=keys / "ours.pub")


def test_several_keys_trust_and_sign(bundle, keys, tmp_path):
    ours, foreign = (sign_bundle(bundle, keys / name) for name in ("ours", "foreign"))
    sign_bundle(bundle, keys / "ours")  # again: one line of each key
    assert list(read_signatures((bundle / SIGNATURE_FILE).read_bytes())) == [ours, foreign]
    assert load_bundle(bundle, trusted_keys=keys / "foreign.pub").signer == foreign
    assert load_bundle(bundle, trusted_keys=keys).signer in (ours, foreign)
    assert set(load_keys(keys)) == {ours, foreign}


def test_a_damaged_bundle_is_not_signed(bundle, keys):
    (bundle / ONNX_FILE).write_bytes(b"")
    with pytest.raises(BundleError, match="incomplete"):
        sign_bundle(bundle, keys / "ours")
    assert not (bundle / SIGNATURE_FILE).exists()


def test_failed_signing_leaves_the_old_signature(bundle, keys, monkeypatch):
    sign_bundle(bundle, keys / "ours")
    before = (bundle / SIGNATURE_FILE).read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nn_perception.bundle_writer.os.fsync", full)
    with pytest.raises(BundleError, match="No space left"):
        sign_bundle(bundle, keys / "foreign")
    assert (bundle / SIGNATURE_FILE).read_bytes() == before
    assert not [path for path in bundle.iterdir() if path.name.startswith(".")]


def test_one_signature_too_many_is_refused_and_the_others_stay_valid(bundle, keys, monkeypatch):
    sign_bundle(bundle, keys / "ours")
    before = (bundle / SIGNATURE_FILE).read_bytes()
    monkeypatch.setattr(bundle_signature, "MAX_SIGNATURE_BYTES", 2 * len(before) - 1)
    with pytest.raises(BundleError, match=r"would have 2 signatures.*delete the lines"):
        sign_bundle(bundle, keys / "foreign")
    assert (bundle / SIGNATURE_FILE).read_bytes() == before
    assert load_bundle(bundle, trusted_keys=keys / "ours.pub").signer


def test_a_new_key_is_private_and_never_overwrites(keys, tmp_path):
    assert (keys / "ours").stat().st_mode & 0o777 == 0o600
    secret = (keys / "ours").read_bytes()
    with pytest.raises(ConfigError, match="never overwritten"):
        new_key(keys / "ours")
    assert (keys / "ours").read_bytes() == secret
    (tmp_path / "half.pub").write_text("somebody's")
    with pytest.raises(ConfigError, match="never overwritten"):
        new_key(tmp_path / "half")
    assert not (tmp_path / "half").exists()
    with pytest.raises(ConfigError, match="cannot write"):
        new_key(tmp_path / "no" / "folder")


def test_keys_that_cannot_be_trusted(keys, tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "curve.pub").write_bytes(public.public_bytes(serialization.Encoding.PEM, form))
    with pytest.raises(ConfigError, match="no Ed25519 public key"):
        load_keys(tmp_path / "curve.pub")
    with pytest.raises(ConfigError, match="no public key"):
        load_keys(keys / "ours")  # the private one
    with pytest.raises(ConfigError, match="no private key"):
        sign_bundle(shipped_model("digits"), keys / "ours.pub")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"holds 0 files \*\.pub"):
        load_keys(tmp_path / "empty")
    with pytest.raises(ConfigError, match="cannot read the key"):
        load_keys(tmp_path / "absent.pub")
    (tmp_path / "long.pub").write_bytes(b"-" * 100_000)
    with pytest.raises(ConfigError, match="cannot read the key"):
        load_keys(tmp_path / "long.pub")


def test_without_cryptography_the_error_names_what_to_install(bundle, keys, monkeypatch):
    real = importlib.import_module

    def absent(name, *rest):
        if name.startswith("cryptography"):
            raise ModuleNotFoundError(f"No module named '{name}'")
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ConfigError, match=r"pip install nn-perception\[security\]"):
        load_bundle(bundle, trusted_keys=keys / "ours.pub")
    assert load_bundle(bundle).name == "model"  # nobody else needs it


def test_command_line(bundle, tmp_path, capsys):
    key = tmp_path / "key"
    assert main(["sign", "--new-key", str(key)]) == 0
    assert main(["sign", str(bundle), "--key", str(key)]) == 0
    (name,) = load_keys(f"{key}.pub")
    assert f"signed by {name}" in capsys.readouterr().out
    assert main(["info", str(bundle)]) == 0
    assert f"{name} (not verified" in capsys.readouterr().out
    assert main(["info", str(bundle), "--trusted-keys", f"{key}.pub", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["signer"] == name
    (bundle / SIGNATURE_FILE).unlink()
    assert main(["info", str(bundle), "--trusted-keys", f"{key}.pub"]) == 2
    assert "not signed" in capsys.readouterr().err
    for words in ([], [str(bundle)], [str(bundle), "--new-key", "x"], ["--key", "x"]):
        assert main(["sign", *words]) == 2
    assert "give a BUNDLE" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_only_this_module_knows_cryptography():
    """bundle.py is read on robots that have no such package; the benchmark of forgeries is not."""
    from pathlib import Path

    package = Path(bundle_signature.__file__).parent
    texts = {str(p.relative_to(package)): p.read_text() for p in package.rglob("*.py")}
    users = {name for name, text in texts.items() if "cryptography" in text}
    assert "bundle_signature.py" in users
    assert users <= {"bundle_signature.py", "bundle.py", "bench/bad_bundles.py"}
