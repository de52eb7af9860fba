from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from clara.errors import ResourceError
from clara.hub import fetch_model


def test_a_model_that_cannot_be_fetched_is_a_matter_of_resources(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        ResourceError, match=r"some/model could not .*ConnectionError.* or set synthesis\.model to a local"
    ):
        fetch_model("some/model", revision=None, setting="synthesis.model", trust_remote_code=False)


@pytest.mark.parametrize("trust", [True, False])
def test_code_is_fetched_only_where_it_may_run(trust: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return "folder"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert fetch_model("some/model", revision="v1", setting="x", trust_remote_code=trust) == Path("folder")
    assert (asked["name"], asked["revision"]) == ("some/model", "v1")
    assert ("*.py" in asked["allow_patterns"]) == trust
