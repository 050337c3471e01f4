"""Run commands where the only way out is a tunnel that leads nowhere, and say which packets each of them sent into it.

`unshare --net --mount python sealed.py COMMANDS` with COMMANDS a JSON list of commands; prints a list of
`{"code", "out", "err", "packets"}`, a packet told by protocol, address and port.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SET_INTERFACE, IS_TUNNEL, BARE_PACKETS = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h


def main() -> None:
    tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tunnel, SET_INTERFACE, struct.pack("16sH", b"out", IS_TUNNEL | BARE_PACKETS))
    Path("/proc/sys/net/ipv6/conf/out/disable_ipv6").write_text("1")  # the kernel would announce itself
    for step in ("link set lo up", "addr add 192.0.2.2/24 dev out", "link set out up", "route add default dev out"):
        subprocess.run(["ip", *step.split()], check=True)
    with tempfile.NamedTemporaryFile("w") as names:
        names.write("nameserver 198.51.100.1\n")  # so that a question for an address is a packet too
        names.flush()
        subprocess.run(["mount", "--bind", names.name, "/etc/resolv.conf"], check=True)
        print(json.dumps([told(command, tunnel) for command in json.loads(sys.argv[1])]))  # noqa: T201


def told(command: list[str], tunnel: int) -> dict[str, object]:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    time.sleep(0.2)
    return {"code": ran.returncode, "out": ran.stdout, "err": ran.stderr, "packets": waiting(tunnel)}


def waiting(tunnel: int) -> list[str]:
    packets = []
    while True:
        try:
            packet = os.read(tunnel, 65536)
        except BlockingIOError:
            return packets
        header = (packet[0] & 15) * 4
        kind = {6: "tcp", 17: "udp"}.get(packet[9], packet[9])
        port = struct.unpack("!H", packet[header + 2 : header + 4])[0]
        packets.append(f"{kind} to {socket.inet_ntoa(packet[16:20])}:{port}, {packet[header:][:80]!r}")


if __name__ == "__main__":
    main()
