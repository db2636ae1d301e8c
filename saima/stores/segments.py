"""The bytes of a log segment: an Arrow IPC stream and a checksum that also covers its place in the log."""

from __future__ import annotations

import zlib
from pathlib import Path

import pyarrow as pa

from saima.errors import CorruptSegment

COMPRESS_ABOVE = 16_384
"""Buffers of fewer bytes are kept as they are: LZ4 would cost more than it saves."""

FAT = 4_096
"""Rows of more bytes than this are texts, such as the journal's: zstd takes half of what LZ4 leaves of them."""

_PLAIN = pa.ipc.IpcWriteOptions()
_LZ4 = pa.ipc.IpcWriteOptions(compression="lz4")
_ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")


def encode(table: pa.Table) -> bytes:
    """Rows as an Arrow IPC stream of one record batch."""
    sink = pa.BufferOutputStream()
    fat = table.nbytes > FAT * table.num_rows
    options = (_ZSTD if fat else _LZ4) if table.nbytes > COMPRESS_ABOVE else _PLAIN
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def checksum(topic: str, first: int, last: int, data: bytes) -> int:
    """CRC-32 over the segment's topic, offsets and bytes."""
    return zlib.crc32(data, zlib.crc32(f"{topic}\0{first}\0{last}".encode()))


def decode(data: bytes, crc: int, topic: str, first: int, last: int, path: Path) -> pa.Table:
    """The rows of a segment; raises CorruptSegment naming its offsets, its topic and the log's file."""
    where = f"segment {first} to {last} of topic '{topic}' in {path}"
    if checksum(topic, first, last, data) != crc:
        raise CorruptSegment(f"{where} is corrupt: its checksum does not fit its {len(data)} bytes; `saima log repair`")
    try:
        table = pa.ipc.open_stream(data).read_all()
    except (pa.ArrowException, OSError) as error:
        raise CorruptSegment(f"{where} is no Arrow stream: {error}; `saima log repair`") from error
    if table.num_rows != last - first + 1:
        raise CorruptSegment(f"{where} holds {table.num_rows} rows; `saima log repair`")
    return table
