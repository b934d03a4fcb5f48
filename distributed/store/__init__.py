"""The Parquet store of models, layers and filters."""

from distributed.store.row_groups import ROW_GROUP_ROWS, RowGroups
from distributed.store.rows import ModelRow, Reject, RejectKind, StoredReject
from distributed.store.settings import StoreSettings
from distributed.store.store import Store
from distributed.store.writer import Finish, WriteReceipt

__all__ = [
    "ROW_GROUP_ROWS",
    "Finish",
    "ModelRow",
    "Reject",
    "RejectKind",
    "RowGroups",
    "Store",
    "StoreSettings",
    "StoredReject",
    "WriteReceipt",
]
