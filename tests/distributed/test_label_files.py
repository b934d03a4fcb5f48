"""Files of labels: read alike in every format, joined by names and patterns, refused in one line."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distributed.errors import UserError
from distributed.label_files import LabelFile, read_labels
from distributed.store import StoreSettings
from tests.s3 import S3Server, s3_server

__all__ = ["s3_server"]

NEAR = StoreSettings("data")

CSV = "name,task,accuracy,resolution\nalpha,Segmentation,0.5,224.0\nb*,null,,\n\n"


def model(name: str, **more: str) -> dict[str, str | None]:
    return {"model_id": "00" * 8, "name": name, "uri": "/data/nets", "file": f"{name}.pt", **more}


def read(folder: Path, text: str, name: str = "labels.csv") -> LabelFile:
    (folder / name).write_text(text, encoding="utf-8")
    return read_labels(str(folder / name), NEAR)


def test_formats_say_the_same(tmp_path: Path) -> None:
    text = "models:\n- {name: alpha, task: Segmentation, accuracy: 0.5, resolution: 224x224}\n- {name: b*, task: null}"
    columns = {
        "name": ["alpha", "b*"],
        "task": ["Segmentation", "null"],
        "accuracy": [0.5, float("nan")],
        "resolution": pa.array([224, None], pa.int32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    found = [
        read(tmp_path, "\ufeff" + CSV),
        read(tmp_path, text, "labels.yaml"),
        read_labels((tmp_path / "labels.parquet").as_uri(), NEAR),
    ]
    expected = {"task": "Segmentation", "accuracy": "0.5", "resolution": "224"}
    for labels in found:
        assert labels.labels_of(model("alpha")) == expected
        assert labels.labels_of(model("beta")) == {"task": None}
        assert labels.labels_of(model("gamma")) == {}
    assert [str(labels.rows[1]) for labels in found] == [
        "labels.csv line 3 (name b*)",
        "labels.yaml entry 2 (name b*)",
        "labels.parquet row 2 (name b*)",
    ]


def test_a_bucket_holds_labels_too(s3_server: S3Server) -> None:
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    s3_server.make_bucket(bucket)
    s3_server.client().put_object(Bucket=bucket, Key="some/labels.csv", Body=CSV.encode())
    near = StoreSettings("data", endpoint_url=s3_server.endpoint_url)
    assert read_labels(f"s3://{bucket}/some/labels.csv", near).labels_of(model("alpha"))["task"] == "Segmentation"
    with pytest.raises(Exception, match=f"{bucket}/none.csv"):
        read_labels(f"s3://{bucket}/none.csv", near)


def test_all_keys_of_a_row_must_agree_and_names_come_before_patterns(tmp_path: Path) -> None:
    labels = read(
        tmp_path,
        "name,uri,file,model_id,a,b\n"
        "net,,,,exact,1\n"
        "*,,,,pattern,2\n"
        ",/data/*,n??.pt,,place,\n"
        ",/other/*,net.pt,,elsewhere,\n"
        f"net,,,{'ff' * 8},another,\n"
        "NET,,,,case,\n"
        "n[e]t,,,,brackets,\n",
    )
    assert labels.rows_of(model("net")) == [1, 2, 6, 0]
    assert labels.labels_of(model("net")) == {"a": "exact", "b": "1"}
    assert labels.labels_of(model("other")) == {"a": "pattern", "b": "2"}
    assert labels.labels_of(model("n[e]t"))["a"] == "brackets"


def test_rows_models_and_doubles_are_named(tmp_path: Path) -> None:
    labels = read(tmp_path, "name,task\nalpha,x\nal*,y\nnobody,z\n")
    assert labels.notes_on([model("alpha"), model("beta")]) == [
        "labels labels.csv: 1 row without a model: labels.csv line 4 (name nobody)",
        "labels labels.csv: 1 model without a row: beta",
        "labels labels.csv: 1 model with several rows (the last counts, and names before patterns): "
        "alpha (labels.csv line 3, labels.csv line 2)",
    ]
    twins = labels.notes_on([model("alpha"), *[model("nobody", file=f"{number}.pt") for number in range(2)]])
    assert twins[0] == (
        "labels labels.csv: 1 row about several models that bear the name: labels.csv line 4 (name nobody): 2"
    )
    assert len(twins) == 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("labels.txt", "name\n", "ends with .csv, .parquet, .yaml"),
        ("labels.csv", "", "holds no row"),
        ("labels.csv", "name,task\n", "holds no row"),
        ("labels.csv", "task\nx\n", "line 2: names no model; give one of model_id, name, uri, file"),
        ("labels.csv", "name,task\na,b,c\n", "line 2 has 3 cells, the heading 2"),
        ("labels.csv", "name,task,task\na,b,c\n", "column 'task' stands there twice"),
        ("labels.csv", 'name,task\n"a,b\n', "unexpected end of data"),
        ("labels.csv", "name,num_filters\na,3\n", "num_filters is measured or recorded by the extraction"),
        ("labels.csv", "name,sparsity\na,3\n", "sparsity is measured"),
        ("labels.csv", "name,resolution\na,big\n", "resolution is the side of a square in pixels, found 'big'"),
        ("labels.yaml", "- a", "expected a mapping with the list 'models'"),
        ("labels.yaml", "models: [{name: a, task: {x: y}}]", "entry 1: task is a mapping"),
        ("labels.yml", "models: [", "line 1"),
        ("labels.parquet", "no parquet", "cannot be read as what its name says"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text, name)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.csv: cannot be read \(No such file or directory\): check the path"):
        read_labels(str(tmp_path / "none.csv"), NEAR)
    (tmp_path / "l.csv").write_bytes(b"name\n\xff\n")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        read_labels(str(tmp_path / "l.csv"), NEAR)
