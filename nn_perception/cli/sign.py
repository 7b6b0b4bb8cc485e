"""``nn-perception sign``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "sign a bundle, so that nodes can require it"
DESCRIPTION = """Sign a bundle with an Ed25519 key, or make such a key.

The signature stands in the bundle's config.json.sig and covers config.json, and through its hashes
the weights and the graph; the card and training/ are not covered. Nodes with require_signature load
only bundles that one of their trusted_keys has signed. Needs nn-perception[security].
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", nargs="?")
    parser.add_argument("--key", type=Path, metavar="FILE", help="private key that signs BUNDLE")
    parser.add_argument(
        "--new-key",
        type=Path,
        metavar="FILE",
        help="make a private key (keep it off the robot) and FILE.pub, for trusted_keys",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make a key, or sign."""
    from nn_perception.bundle_signature import PUBLIC_SUFFIX, new_key, sign_bundle
    from nn_perception.errors import ConfigError

    if (arguments.bundle is None) == (arguments.new_key is None):
        raise ConfigError("give a BUNDLE with --key FILE, or --new-key FILE alone")
    if arguments.new_key is not None:
        if arguments.key is not None:
            raise ConfigError("--new-key makes a key and signs nothing: leave --key out")
        made = new_key(arguments.new_key)
        print(f"key {made}: private {arguments.new_key}, public {arguments.new_key}{PUBLIC_SUFFIX}")
        return 0
    if arguments.key is None:
        raise ConfigError("name the private key: --key FILE; --new-key FILE makes one")
    print(f"{arguments.bundle} signed by {sign_bundle(arguments.bundle, arguments.key)}")
    return 0
