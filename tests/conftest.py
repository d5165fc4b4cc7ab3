"""Shared fixtures: where the real data lies, and the S3 endpoint of the suite."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from s3_server import s3_bucket, s3_server  # noqa: F401 (fixtures)

# a first call compiles, loads or reads tables; on a busy machine that is no failure
settings.register_profile("gristmill", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)  # other examples each time: HYPOTHESIS_PROFILE=search
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gristmill"))

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The developers' data folder beside the checkout, or a loud skip."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"SKIPPED FOR WANT OF DATA: {folder} is not there (it lies beside a developer's checkout)")
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of the demo recipe, undisturbed."""
    from corpus import mill

    output = tmp_path_factory.mktemp("demo") / "out"
    mill(output)
    return output


@pytest.fixture(scope="session")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The output folder of configs/NAME.yaml as it stands, by the local engine; each is made once, for all who look at it."""
    from corpus import as_it_stands

    folder, made = tmp_path_factory.mktemp("ready"), set()

    def output(name: str) -> Path:
        if name not in made:
            as_it_stands(name, folder / name)
            made.add(name)
        return folder / name

    return output


@pytest.fixture(scope="session")
def small_data() -> Path:
    """The small real data that ships in the repository."""
    return CHECKOUT / "tests" / "data"
