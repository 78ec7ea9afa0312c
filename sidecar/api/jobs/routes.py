"""The routes of jobs, with their descriptions."""

from sidecar.api.dialects.dialect import Route
from sidecar.api.jobs import following, results, submitting
from sidecar.wire import jobs, ocr
from sidecar.wire.dialects.described import FORM, UPLOADING_ERRORS, Described

KNOWN = ("401", "404", "410", "422", "503")

ROUTES = (
    Route(
        Described(
            "POST",
            "/v1/jobs",
            "Hand a document in, to be read by whichever pod is free",
            jobs.JobBody,
            takes=FORM,
            asked=jobs.JobForm,
            errors=(*UPLOADING_ERRORS, "409"),
            status="202",
        ),
        submitting.submit,
    ),
    Route(
        Described(
            "GET",
            "/v1/jobs",
            "List one's jobs",
            jobs.JobsBody,
            errors=("401", "422", "503"),
            query=("label", "state", "limit", "after"),
        ),
        following.list_jobs,
    ),
    Route(
        Described(
            "GET",
            "/v1/jobs/{id}",
            "Tell how far a job is: at once, when it has got on, or page by page",
            jobs.JobBody,
            errors=KNOWN,
            query=("wait", "known"),
        ),
        following.get_job,
    ),
    Route(
        Described(
            "GET",
            "/v1/jobs/{id}/result",
            "What came of a job, in any format",
            ocr.DocumentBody,
            errors=(*KNOWN, "409", "500", "502", "504"),
            query=("output",),
        ),
        results.get_result,
    ),
    Route(
        Described("DELETE", "/v1/jobs/{id}", "Give a job up", jobs.JobBody, errors=KNOWN, status="202"),
        following.cancel,
    ),
)
