"""Prompts and profiles: what an operator edits is what the next request uses, and no document mixes two."""

import asyncio
import json
import os
import time
from datetime import datetime

import pytest

from sidecar.api.app_keys import PROFILE_STORE
from tests.conftest import until
from tests.integration.sidecar.documents import PdfMaker, picture_of_text
from tests.integration.sidecar.model import PAGE, pages
from tools.fakes.ollama import Answer

APPLIED_S = 0.5
"""A changed file is used by every request that starts later than this."""


async def test_the_profiles_prompt_is_the_system_message(govern):
    govern.publish(systemPrompt="อ่านเอกสารนี้", dmsTags={})
    governed = await govern()

    await governed.read()

    (call,) = governed.fake.chats
    assert [message["role"] for message in call.messages] == ["system", "user"]
    assert call.messages[0]["content"] == "อ่านเอกสารนี้"
    assert len(call.images) == 1
    assert call.messages[1]["content"]


async def test_without_any_prompt_the_models_own_stands(governed):
    await governed.read()

    assert governed.system_prompts == [None]


async def test_the_requests_prompt_and_tags_win_over_the_profiles(govern):
    govern.publish(systemPrompt="the profile's", dmsTags={"a": True})
    governed = await govern()

    await governed.read(systemPrompt="the request's", dmsTags='["contractNo"]')

    (system,) = governed.system_prompts
    assert system.startswith("the request's\n")
    assert "- Wrap the contract no with <contractNo>...</contractNo>" in system
    assert "<a>" not in system


async def test_the_requests_user_prompt_wins_over_the_profiles(govern):
    govern.publish(userPrompt="the profile's", dmsTags={})
    governed = await govern()

    await governed.read()
    await governed.read(userPrompt="the\r\nrequest's ")
    await governed.read(userPrompt="")

    assert governed.user_prompts == ["the profile's", "the\nrequest's", "the profile's"]


async def test_a_profile_may_hold_the_model_to_json(govern):
    govern.fake.script([Answer.natural_text("the page")] * 2)
    govern.publish(format="json")
    governed = await govern()

    assert (await governed.read())["text"] == "the page"
    governed.publish()
    await until(lambda: profiles(governed).get("ocr-extract").format is None)
    await governed.read()

    assert [call.body.get("format") for call in governed.fake.chats] == ["json", None]


async def test_a_user_prompt_with_a_place_for_anchors_gets_the_page_s_text_and_where_it_stands(govern):
    governed = await govern()
    stamped = PdfMaker().scan_page(picture_of_text(), stamp=["Page 7"]).finish()

    await governed.read(stamped, userPrompt="RAW_TEXT_START\n\nRAW_TEXT_END", dmsTags="[]")

    (prompt,) = governed.user_prompts
    start, size, image, text, end = prompt.split("\n")
    assert (start, end) == ("RAW_TEXT_START", "RAW_TEXT_END")
    assert size == "Page dimensions: 595.3x841.9"
    assert image == "[Image 0x0 to 595x842]"
    assert text == "[21x823]Page 7"


@pytest.mark.parametrize(
    ("published", "named"),
    [
        ({}, ["document_number", "document_date", "received_date"]),
        ({"dmsTags": None}, ["document_number", "document_date", "received_date"]),
        ({"dmsTags": {}}, []),
        ({"dmsTags": {"drawing_no": "A-1"}}, ["drawing_no"]),
    ],
)
async def test_tags_of_the_profile(govern, published, named):
    govern.publish(**published)
    governed = await govern()

    await governed.read()

    content = governed.fake.chats[0].messages[-1]["content"]
    assert content.count("...</") == len(named)
    assert all(f"<{name}>...</{name}>" in content for name in named)


@pytest.mark.alone
async def test_a_changed_prompt_is_used_by_every_request_that_starts_half_a_second_later(governed):
    for version in range(5):
        governed.publish(systemPrompt=f"version {version}", dmsTags={})
        await asyncio.sleep(APPLIED_S)  # the bound that is tested, not a hope

        body = await governed.read()

        assert governed.system_prompts[-1] == f"version {version}"
        listed = await governed.ops("profiles")
        assert body["profile"]["revision"] == listed["profiles"][0]["revision"]


async def test_no_document_is_read_half_with_one_and_half_with_another_prompt(govern):
    govern.fake.latency_s = 0.15
    govern.publish(systemPrompt="version 0", dmsTags={})
    governed = await govern(OCR_PARALLEL_PAGES="2")
    documents = [asyncio.create_task(governed.read(pages(6))) for _ in range(2)]

    for version in range(1, 8):
        governed.publish(systemPrompt=f"version {version}", dmsTags={})
        documents.append(asyncio.create_task(governed.read(pages(2))))
        await asyncio.sleep(0.2)
    answers = await asyncio.gather(*documents)

    assert len(set(governed.system_prompts)) > 2
    by_revision = {answer["profile"]["revision"]: answer["pageCount"] for answer in answers}
    assert len(by_revision) == len(set(governed.system_prompts))
    counts = {prompt: governed.system_prompts.count(prompt) for prompt in governed.system_prompts}
    assert sorted(counts.values()) == sorted(
        sum(a["pageCount"] for a in answers if a["profile"]["revision"] == revision) for revision in by_revision
    )


async def test_a_profile_that_is_withdrawn_is_missing_from_the_next_request(govern):
    govern.publish(systemPrompt="x", dmsTags={})
    governed = await govern()
    assert (await governed.read())["warnings"] == []

    governed.withdraw()
    await until(lambda: not profiles(governed).loaded)

    body = await governed.read()
    assert (body["profile"], body["warnings"]) == (None, ["profile-missing"])


def profiles(governed):
    return governed.service.service.api[PROFILE_STORE].current


async def test_a_file_that_is_no_profile_keeps_its_last_good_version_and_shows_everywhere(govern):
    govern.publish(systemPrompt="good", dmsTags={})
    governed = await govern()

    (governed.folder / "ocr-extract.json").write_text('{"runtimeParams": {"temperature": 9}}')
    await until(lambda: profiles(governed).refused)

    await governed.read()
    assert governed.system_prompts == ["good"]
    reason = "runtimeParams.temperature is 9, accepted: less than or equal to 2"
    assert (await governed.ops("readyz"))["profiles"] == {"loaded": 1, "refused": {"ocr-extract.json": reason}}
    assert (await governed.ops("profiles"))["refused"] == [{"file": "ocr-extract.json", "reason": reason}]
    assert await governed.metric("ocr_profile_files_refused") == 1

    governed.publish(systemPrompt="better", dmsTags={})
    await until(lambda: not profiles(governed).refused)
    await governed.read()
    assert governed.system_prompts[-1] == "better"


@pytest.mark.alone
async def test_a_mounted_configmap_is_swapped_as_the_kubelet_does(govern):
    """The kubelet writes a new folder and swaps the link ``..data``, which the files are links into."""
    govern.folder.mkdir()
    mounted(govern.folder, "..1", {"ocr-extract.json": {"systemPrompt": "one"}, "b.json": {}})
    for name in ("ocr-extract.json", "b.json"):
        (govern.folder / name).symlink_to(f"..data/{name}")
    governed = await govern()
    assert sorted(profiles(governed).loaded) == ["b", "ocr-extract"]

    mounted(govern.folder, "..2", {"ocr-extract.json": {"systemPrompt": "two", "dmsTags": {}}})
    (govern.folder / "b.json").unlink()
    await until(lambda: profiles(governed).get("ocr-extract").system_prompt == "two", 1)

    await governed.read()
    assert governed.system_prompts == ["two"]
    await until(lambda: sorted(profiles(governed).loaded) == ["ocr-extract"], 1)


def mounted(folder, version: str, files: dict[str, dict]) -> None:
    (folder / version).mkdir()
    for name, payload in files.items():
        (folder / version / name).write_text(json.dumps(payload))
    (folder / "..data_tmp").symlink_to(version)
    os.replace(folder / "..data_tmp", folder / "..data")  # noqa: PTH105 - what the kubelet does: rename(2) over a link


async def test_a_template_with_placeholders_is_sent_and_warned_of(governed):
    body = await governed.read(systemPrompt="Read {{document_type}} now", dmsTags="[]")

    assert "prompt-unfilled" in body["warnings"]
    assert governed.system_prompts == ["Read {{document_type}} now"]
    assert "prompt-unfilled" in (await governed.read(userPrompt="Read {{document_type}} now"))["warnings"]


async def test_a_prompt_that_no_page_was_read_with_is_told(governed):
    status, body = await governed.service.upload(PAGE, engine="tesseract", systemPrompt="x")

    assert (status, body["warnings"], body["profile"]) == (200, ["parameters-not-applied"], None)


async def test_text_layers_need_no_model_and_no_profile(governed, data):
    status, body = await governed.service.upload(data / "digital.pdf")

    assert (status, body["engineUsed"], body["warnings"], body["residency"]) == (200, "fast-path", [], None)
    assert governed.fake.chats == []


async def test_auto_falls_to_the_model_where_there_is_one(governed):
    status, body = await governed.service.upload(PAGE)

    assert (status, body["engineUsed"], len(governed.fake.chats)) == (200, "np-dms-ocr", 1)


async def test_a_blank_page_does_not_go_to_the_model(governed, data):
    body = await governed.read((data / "blank-pages.pdf").read_bytes())

    assert [(page["blank"], page["text"]) for page in body["pages"]] == [(True, ""), (False, "page text"), (True, "")]
    assert len(governed.fake.chats) == 1
    assert (await governed.read(PdfMaker().empty_page().finish()))["engineUsed"] == "fast-path"


async def test_the_inner_text_of_a_json_answer_is_taken(governed):
    governed.fake.script([Answer.natural_text("หน้า 1\nline")])

    assert (await governed.read())["text"] == "หน้า 1\nline"


async def test_what_is_listed_says_when_it_was_loaded(govern):
    before_s = time.time()
    govern.publish(generation=7, revision="0123456789ab")
    governed = await govern()

    (listed,) = (await governed.ops("profiles"))["profiles"]

    assert (listed["name"], listed["revision"], listed["generation"]) == ("ocr-extract", "0123456789ab", 7)
    assert listed["contentRevision"] != listed["revision"]
    assert before_s - 1 <= datetime.fromisoformat(listed["loadedAt"]).timestamp() <= time.time()
