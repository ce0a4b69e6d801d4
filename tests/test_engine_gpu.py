"""The benchmark for CUDA: what it says without such a device, and that its contestants are what they are called."""

from __future__ import annotations

import json
from pathlib import Path

import engine_gpu
import pytest
import torch
from click.testing import CliRunner
from peers.workload import QUICK, make_model


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so_in_one_line() -> None:
    result = CliRunner().invoke(engine_gpu.main, ["--quick"])
    assert (result.exit_code, result.output) == (2, "no CUDA device here: this benchmark needs one\n")


def test_its_insides_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_model(QUICK, tmp_path)
    result = engine_gpu.run(QUICK, tmp_path, torch.float32, torch.device("cpu"), 1, print)
    assert result["distance"]["DynamicCache, sdpa"] < 1e-5
    assert result["distance"]["ours, chained"] < 1e-5
    assert result["distance"]["ours"] > 1e-2  # windows side by side are another method
    found = {name: {case for case, times in of.items() if times} for name, of in result["seconds"].items()}
    assert found["whole prompt, sdpa"] == {"same", "map"}
    assert found["ours"] == found["DynamicCache, sdpa"] == {"prepare", "same", "map", "decode"}
    engine_gpu.report("float32", json.loads(json.dumps(result)))
    assert capsys.readouterr().out.count("ours, chained") == 6  # read, four tables, distance
