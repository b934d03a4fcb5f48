"""Serve a folder until interrupted: ``python -m tests.hub ROOT``."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from tests.hub.control import ControlHandler
from tests.hub.server import LoopbackHub


def main() -> None:
    """Serve a folder until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description=main.__doc__)
    parser.add_argument("root", type=Path, help="folder of Hub-layout models: root/name or root/owner/name")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--owner", default="samples", help="owner of folders one level deep")
    parser.add_argument("--cdn", action="store_true", help="serve weights from another origin, by redirect")
    parser.add_argument("--until-eof", action="store_true", help="end with standard input: with whoever started it")
    given = parser.parse_args()
    with LoopbackHub(given.root, owner=given.owner, port=given.port, cdn=given.cdn) as server:
        print(f"HF_ENDPOINT={server.endpoint}", flush=True)
        print(f"CONTROL={server.serve(ControlHandler, 0)}", flush=True)
        try:
            if given.until_eof:
                sys.stdin.read()
            else:
                threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
