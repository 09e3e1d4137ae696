"""Prints a Parquet file as another implementation reads it: read_parquet.py pyarrow|duckdb FILE.

The first line is an object with each column's type, the others are the rows in the form of the flat format.
"""

import datetime
import json
import sys


def pyarrow_table(path):
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    return {field.name: str(field.type) for field in table.schema}, table.to_pylist()


def duckdb_table(path):
    import duckdb

    connection = duckdb.connect()
    # Times with a zone become Python's only with a further package; as text they need none.
    connection.execute("SET TimeZone = 'UTC'")
    rows = connection.read_parquet(path)
    types = dict(zip(rows.columns, map(str, rows.types)))
    columns = [
        f"strftime({name} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ')" if kind.startswith("TIMESTAMP") else name
        for name, kind in types.items()
    ]
    cells = rows.project(", ".join(columns)).fetchall()
    return types, [dict(zip(types, row)) for row in cells]


def flat(cell):
    if isinstance(cell, datetime.datetime):
        return cell.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return cell.isoformat() if isinstance(cell, datetime.date) else cell


types, rows = {"pyarrow": pyarrow_table, "duckdb": duckdb_table}[sys.argv[1]](sys.argv[2])
print(json.dumps(types))
for row in rows:
    print(json.dumps({name: flat(cell) for name, cell in row.items() if cell is not None}))
