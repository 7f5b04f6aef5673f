"""`vsvfi models fetch vfimamba_s` from a fake hub, and the model loaded from it.

Runs in a process of its own because huggingface_hub reads the environment when it is imported.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.fake_hub import COMMIT, FakeHub
from vsvfi.models.registry import find
from vsvfi.models.vfimamba.network import VFIMamba

FILE = "/MCG-NJU/VFIMamba_S/resolve/main/model.pkl"
MIRROR = "/MCG-NJU/VFIMamba_ckpts/resolve/main/ckpt/VFIMamba_S.pkl"
SHOW = """
import sys, torch, vsvfi
first, second = torch.linspace(0, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
torch.save(vsvfi.load_model("vfimamba_s", device="cpu")(first, second), sys.argv[1])
"""


def test_the_published_file_is_fetched_and_loads(hub: FakeHub, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = VFIMamba(**find("vfimamba_s")[1].config).eval()  # type: ignore[arg-type]
    with io.BytesIO() as file:
        torch.save({f"module.{key}": tensor for key, tensor in network.state_dict().items()}, file)
        content = file.getvalue()
    hub.add(MIRROR, content)  # the first source is not there
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "VSVFI_"))} | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "hub"),
        "VSVFI_CACHE": str(tmp_path / "own"),
        "NO_PROXY": "127.0.0.1",
    }

    def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *command], env=environment | more, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    fetched = run("-m", "vsvfi", "models", "fetch", "vfimamba_s")
    name, _, path = fetched.stdout.strip().partition("\t")
    assert (name, Path(path).parts[-3:]) == ("vfimamba_s", (COMMIT, "ckpt", "VFIMamba_S.pkl"))
    assert "Apache-2.0" in fetched.stderr
    hub.add(FILE, content)
    asked = len(hub.asked())
    run("-c", SHOW, str(tmp_path / "shown.pt"), HF_HUB_OFFLINE="1")
    assert len(hub.asked()) == asked
    first, second = torch.linspace(0, 1, 2 * 3 * 32 * 32).reshape(2, 1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(
            torch.load(tmp_path / "shown.pt"), network(first, second, torch.tensor([0.5]))[0], atol=1e-4
        )
