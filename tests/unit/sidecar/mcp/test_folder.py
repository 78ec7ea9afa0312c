import os

from sidecar.mcp.folder import Folder

LISTED = ["a.pdf", "deep/b.PNG", "ไทย.tiff"]


async def test_every_name_that_is_listed_can_be_opened(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in (*LISTED, "notes.txt", "%25252525252541.pdf"):
        (tmp_path / name).write_bytes(b"%PDF")
    (tmp_path / "link.pdf").symlink_to("a.pdf")
    os.mkfifo(tmp_path / "pipe.pdf")
    (tmp_path / "folder.pdf").mkdir()
    (tmp_path / os.fsdecode(b"caf\xe9.pdf")).touch()  # a name that is no text
    folder = Folder(tmp_path)

    assert await folder.names() == LISTED
    for name in LISTED:
        async with folder.open(name) as file:
            assert file.read() == b"%PDF"
