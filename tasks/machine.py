"""What of a machine can change a bit of a result, beside the libraries: told when a rebuilt output differs."""

import os
import platform
import re
import sys
from pathlib import Path

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "asimd", "sve")  # by which kernels are chosen
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # a stage sets its own number; these are here to be ruled out


def facts() -> dict[str, str]:
    """Processor, instruction sets, system and threads, each as text."""
    cpu = Path("/proc/cpuinfo")
    text = cpu.read_text(encoding="utf-8") if cpu.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    known = flags[1].split() if flags else []
    return {
        "processor": name[1] if name else platform.processor() or platform.machine(),
        "instructions": " ".join(flag for flag in INSTRUCTIONS if flag in known) or "unknown",
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()} {' '.join(platform.libc_ver())}".strip(),
        "python": sys.version.split()[0],
        **{name: os.environ.get(name, "not set") for name in THREADS},
    }
