from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hqgnet.errors import ConfigurationError
from hqgnet.yaml_files import load_yaml_model, validate_mapping


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    learning_rate: float = Field(1e-4, gt=0, description="step size")
    kind: Literal["a", "b"] = "a"


class Outer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(description="what it is called")
    inner: Inner = Field(default_factory=Inner)
    choice: Inner | None = None
    sizes: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _not_forbidden(self) -> Outer:
        if self.name == "forbidden":
            raise ValueError("this name is taken: choose another")
        return self


def load(tmp_path: Path, text: str | bytes) -> Outer:
    path = tmp_path / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_yaml_model(path, Outer)


def problems(tmp_path: Path, text: str | bytes) -> dict[str, tuple[str, str]]:
    """Return what and remedy by place, without the folder."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    return {p.where.replace(f"{tmp_path}/", ""): (p.what, p.remedy) for p in caught.value.problems}


def test_a_good_file(tmp_path: Path) -> None:
    read = load(tmp_path, "\ufeffname: x\ninner: {learning_rate: 1e-3}\nsizes: [1, 2]\n")
    assert read == Outer(name="x", inner=Inner(learning_rate=1e-3), sizes=(1, 2))


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "inner: {learning_rat: 1, learning_rate: -3, kind: c}\nsizes: [1, x]\nzzz: 1\nchoice: {kindd: a}\n"
        "sizes: [1, x]\n",
    )
    assert set(found) == {
        "file.yaml: line 5",
        "file.yaml: name",
        "file.yaml: inner.learning_rat",
        "file.yaml: inner.learning_rate",
        "file.yaml: inner.kind",
        "file.yaml: sizes[1]",
        "file.yaml: zzz",
        "file.yaml: choice.kindd",
    }
    assert "'sizes' stands twice" in found["file.yaml: line 5"][0]
    assert "'learning_rate'" in found["file.yaml: inner.learning_rat"][1]
    assert "'kind'" in found["file.yaml: choice.kindd"][1]
    assert found["file.yaml: inner.learning_rate"] == (
        "-3 does not fit",
        "It must be greater than 0 (step size)",
    )
    assert found["file.yaml: inner.kind"][0] == "'c' does not fit"
    assert "what it is called" in found["file.yaml: name"][1]
    assert found["file.yaml: zzz"][1] == "Known keys: name, inner, choice, sizes"


def test_a_validators_message_gives_what_and_remedy(tmp_path: Path) -> None:
    assert problems(tmp_path, "name: forbidden") == {"file.yaml": ("this name is taken", "Choose another")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("- 1\n- 2\n", "not a mapping"),
        ("a: [1\nb: 2\n", "is not valid YAML"),
        ("a: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        ("name: 2001-99-99\n", "is not valid YAML"),
        ("[" * 400, "is not valid YAML"),
        (b"name: \xff\xfe\n", "is not UTF-8"),
        ("name: x #" + "x" * 2**20, "larger than 1 MiB"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str | bytes, says: str) -> None:
    (what, remedy), *rest = problems(tmp_path, text).values()
    assert says in what
    assert remedy
    assert not rest


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("name: {{ site }}", "a mapping or list stands where a key should"),
        ("? [a, b]", "a mapping or list stands where a key should"),
        ("sizes: !!set [1, 2]", "expected a mapping"),
        ("name: !!int ''", "'' is no int"),
        ("name: !!float ''", "'' is no float"),
        ("name: !!bool maybe", "'maybe' is no bool"),
        (f"name: 1{':01' * 300}.0", "is no float"),
        ("name: !!timestamp tomorrow", "'tomorrow' is no timestamp"),
        ("name: 2001-99-99", "'2001-99-99' is no timestamp"),
        (r'name: "images\0lq"', "a character that no text may hold"),
        (r'"na\0me": x', "a character that no text may hold"),
        (r'name: "\ud800"', "a character that no text may hold"),
    ],
)
def test_values_that_yaml_itself_fails_on_are_told_with_their_line(
    tmp_path: Path, line: str, says: str
) -> None:
    found = problems(tmp_path, f"inner: {{kind: b}}\n{line}\n")
    assert list(found) == ["file.yaml: line 2"]
    what, remedy = found["file.yaml: line 2"]
    assert says in what
    assert remedy


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is missing"):
        load_yaml_model(tmp_path / "none.yaml", Outer)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_yaml_model(tmp_path, Outer)


def test_an_alias_bomb_gives_a_short_message(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    found = problems(tmp_path, "\n".join([*lines, "name: *a11"]))
    assert len(str(found)) < 5000


def test_a_key_cannot_write_on_a_terminal() -> None:
    keys = ["\x1b[2Jall is well", "line\nline", "k" * 3000]
    with pytest.raises(ConfigurationError) as caught:
        validate_mapping({"name": "x", **dict.fromkeys(keys, 1)}, Outer, "a card")
    assert len(caught.value.problems) == len(keys)
    assert all(str(problem).isprintable() and len(str(problem)) < 200 for problem in caught.value.problems)


def test_merge_keys_are_no_duplicates(tmp_path: Path) -> None:
    read = load(tmp_path, "name: x\ninner: &i {kind: b, learning_rate: 2}\nchoice: {<<: *i, kind: a}\n")
    assert read.choice == Inner(learning_rate=2, kind="a")


def test_a_mapping_in_memory() -> None:
    assert validate_mapping({"name": "x"}, Outer, "the request").name == "x"
    with pytest.raises(ConfigurationError, match=r"the request: inner\.kind: 'z' does not fit"):
        validate_mapping({"name": "x", "inner": {"kind": "z"}}, Outer, "the request")
    with pytest.raises(ConfigurationError, match="the request: is empty"):
        validate_mapping(None, Outer, "the request")
