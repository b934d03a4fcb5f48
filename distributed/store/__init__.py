"""The Parquet store of models, layers and filters."""

from typing import TYPE_CHECKING

from distributed.exports import lazily

if TYPE_CHECKING:
    from distributed.store.packs import FilterPlace
    from distributed.store.row_groups import ROW_GROUP_ROWS, RowGroups
    from distributed.store.rows import ModelOrigin, ModelRow, Reject, RejectKind, RunRow, StoredReject
    from distributed.store.settings import StoreSettings
    from distributed.store.store import Store
    from distributed.store.writer import Finish, WriteReceipt

__all__ = [
    "ROW_GROUP_ROWS",
    "FilterPlace",
    "Finish",
    "ModelOrigin",
    "ModelRow",
    "Reject",
    "RejectKind",
    "RowGroups",
    "RunRow",
    "Store",
    "StoreSettings",
    "StoredReject",
    "WriteReceipt",
]

# Arrow takes a quarter of a second to import; ``--help`` needs the settings alone.
if not TYPE_CHECKING:
    __getattr__ = lazily(
        __name__,
        ROW_GROUP_ROWS="distributed.store.row_groups:ROW_GROUP_ROWS",
        FilterPlace="distributed.store.packs:FilterPlace",
        Finish="distributed.store.writer:Finish",
        ModelOrigin="distributed.store.rows:ModelOrigin",
        ModelRow="distributed.store.rows:ModelRow",
        Reject="distributed.store.rows:Reject",
        RejectKind="distributed.store.rows:RejectKind",
        RunRow="distributed.store.rows:RunRow",
        RowGroups="distributed.store.row_groups:RowGroups",
        Store="distributed.store.store:Store",
        StoreSettings="distributed.store.settings:StoreSettings",
        StoredReject="distributed.store.rows:StoredReject",
        WriteReceipt="distributed.store.writer:WriteReceipt",
    )
