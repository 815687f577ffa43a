"""The rule on skips: a check that did not run is a failure, unless it needs a GPU."""

from pathlib import Path

import pytest
import torch

pytest_plugins = ["pytester"]


def test_only_a_missing_gpu_may_skip(
    pytester: pytest.Pytester, comfyui_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui_path))
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(
        test_reasons="""
        import pytest

        def test_runs(): pass

        def test_skips(): pytest.skip("not today")

        @pytest.mark.xfail
        def test_is_known_to_fail(): raise ValueError

        @pytest.mark.skipif(True, reason="not here")
        def test_is_skipped_before_it_starts(): pass

        @pytest.mark.gpu
        def test_needs_a_gpu(): pass
        """,
        test_module="""
        import pytest

        pytest.importorskip("no_such_package")
        """,
    )
    gpu = torch.cuda.is_available()
    reasons = pytester.runpytest_inprocess("test_reasons.py")
    reasons.assert_outcomes(passed=1 + gpu, skipped=1 - gpu, failed=2, errors=1)
    pytester.runpytest_inprocess("test_module.py").assert_outcomes(errors=1)
